//! Branches off a session: played to the message under the cursor, and from there on in the operator's hands.

use crate::event::{Command, ForkRequest, RewindRequest};
use crate::ui::model::Model;
use crate::ui::model::tapes_screen::AskedPlay;

/// `B` on a message: a fresh server is told what this one was told up to here.
pub(super) fn fork(model: &mut Model) {
    let Some(envelope) = model.selected().map(|row| row.envelope) else { return };
    let live = model.observed.sessions.get(envelope.session).map(|row| &row.session);
    let (tape, session) = match &model.tape {
        Some(open) => (Some(open.path.clone()), None),
        None => (live.and_then(|session| session.tape.as_deref()).map(Into::into), Some(envelope.session)),
    };
    let Some(tape) = tape else {
        return model.warn(
            "this session is not recorded, so there is nothing to play: `<messages edit>` edits and sends one request",
        );
    };
    if model.tapes.running() {
        return model
            .warn("a tape is being played: a branch is made when that is done, `<everywhere tapes>` shows it and `<tapes stop>` stops it");
    }
    model.asked = Some(AskedPlay::Branch);
    model.notify(format!("a fresh server is told what was said up to {}", envelope.seq));
    model.send(Command::Fork(ForkRequest { tape, session, until: envelope.seq }));
}

/// `<` on a message: a fresh process is told what this one was told up to here, and the client goes on with that.
pub(super) fn rewind(model: &mut Model) {
    let Some(envelope) = model.selected().map(|row| row.envelope) else { return };
    if model.tape.is_some() {
        return model.warn("no client is behind a tape: `<messages branch>` branches off here, on a fresh server");
    }
    let row = model.observed.sessions.get(envelope.session);
    if row.is_none_or(|row| row.session.tape.is_none()) {
        return model.warn(
            "this session is not recorded, so there is nothing to play: `<sessions restart>` in the sessions pane restarts its server",
        );
    }
    if model.tapes.running() {
        return model
            .warn("a tape is being played: `<everywhere tapes>` shows it and `<tapes stop>` stops it, then the session can be rewound");
    }
    model.asked = Some(AskedPlay::Rewind(envelope.session));
    model.notify(format!("a fresh process is told what was said up to {}; the client waits", envelope.seq));
    model.send(Command::Rewind(RewindRequest { session: envelope.session, until: envelope.seq }));
}
