//! Choosing, pausing and restarting sessions.

use crate::event::{Command, SessionState};
use crate::ui::model::Model;
use crate::ui::model::motion::ListCursor;
use crate::ui::model::popup::Popup;

pub(super) fn open_session_popup(model: &mut Model) {
    let only = model.list().only;
    let found = model.observed.sessions.all().iter().position(|row| Some(row.session.id) == only);
    model.popup = Some(Popup::Sessions(ListCursor { cursor: found.map_or(0, |at| at + 1), ..ListCursor::default() }));
}

/// Pauses the selected session, or lets it go on.
pub(super) fn pause(model: &mut Model) {
    let Some((session, state)) = model.session_under_cursor().map(|row| (row.session.id, &row.session.state)) else {
        return;
    };
    let command = match state {
        SessionState::Paused => Command::Resume(session),
        _ => Command::Pause(session),
    };
    model.send(command);
}

/// Asks for another process of the server of the session under the cursor.
pub(super) fn restart(model: &mut Model) {
    if let Some(session) = model.session_under_cursor().map(|row| row.session.id) {
        model.send(Command::Restart(session));
        model.notify("server restart requested");
    }
}
