//! A call of the operator's own, out of what the server offers.

use super::editing::schema_of;
use crate::envelope::{Direction, Seq, Via};
use crate::event::Session;
use crate::message::Message;
use crate::ui::model::Model;
use crate::ui::model::editor::{EditSubject, EditTarget, Editor};
use crate::ui::model::offers::{NOTHING_CALLED_SO, OfferList};
use crate::ui::model::popup::Popup;

/// What the server of the session here has listed; else of the newest session that is open.
pub(super) fn open(model: &mut Model) {
    let sessions = &model.observed.sessions;
    let own = model.selected().map(|row| row.envelope.session).and_then(|id| sessions.get(id));
    let open = own.filter(|row| row.closed().is_none());
    let Some(session) = open.or_else(|| sessions.all().iter().rev().find(|row| row.closed().is_none())) else {
        return model.warn("no session is open to call anything in");
    };
    let of = &session.session;
    let is_near = |it: &Session| it.id != of.id && it.upstream == of.upstream && it.upstream_name == of.upstream_name;
    let near = sessions.all().iter().map(|row| &row.session).filter(|it| is_near(it)).map(|it| it.id).collect();
    let session = of.id;
    let list = OfferList::of(&model.observed.rows, session, near, model.offers_seen.entry(session).or_default());
    model.popup = Some(Popup::Offers(Box::new(list)));
}

/// The request for what was chosen, in the editor.
pub(super) fn compose(model: &mut Model) {
    let Some(Popup::Offers(list)) = model.popup.take() else { return };
    let Some(offer) = list.chosen() else {
        model.popup = Some(Popup::Offers(list));
        return model.warn(NOTHING_CALLED_SO);
    };
    let session = list.session;
    let message = Message::new(offer.request.clone());
    let subject = EditSubject {
        target: if offer.to == Direction::ToServer { EditTarget::Resend(session) } else { EditTarget::Speak(session) },
        // No message that passed.
        seq: Seq(0),
        direction: offer.to,
        session: model.observed.sessions.get(session).map(|row| row.title().to_owned()).unwrap_or_default(),
        session_id: session,
        via: Via::Http,
        schema: schema_of(model, session, &message),
        message,
    };
    model.editor = Editor::open(subject, None).map(|mut editor| {
        // Of a template, what stands in braces is filled in.
        if editor.value(".params.arguments").is_none() {
            editor.select_value(".params.uri");
        }
        editor.select_first_argument();
        editor
    });
}
