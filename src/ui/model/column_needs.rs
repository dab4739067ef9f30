//! How much room the columns of the message list need.

use std::borrow::Cow;

use crate::envelope::Envelope;
use crate::mcp::method::NOTIFICATIONS;
use crate::text;

/// What the rows that were shown so far would fill. It only grows: columns that jump while rows scroll by cannot be read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct ColumnNeeds {
    /// Of the largest number.
    pub(crate) digits: usize,
    pub(crate) id: usize,
    /// Of the subject, with the method in full.
    pub(crate) whole: usize,
    /// Of the subject, as short as it can be.
    pub(crate) brief: usize,
}

impl ColumnNeeds {
    pub(crate) fn grow(&mut self, envelope: &Envelope) {
        let width = |whole| {
            let (method, name) = subject_words(envelope, whole);
            text::width(&method) + name.map_or(0, |name| 1 + text::width(&text::sanitize(name)))
        };
        self.id = self.id.max(envelope.message.id().map_or(0, |id| id.display().len()));
        self.whole = self.whole.max(width(true));
        self.brief = self.brief.max(width(false));
    }
}

/// Method and name. `whole`: the method in full; else the last word of it beside a name, and no `notifications/`, which the letter says.
pub(crate) fn subject_words(envelope: &Envelope, whole: bool) -> (Cow<'_, str>, Option<&str>) {
    let method = text::sanitize(envelope.method().unwrap_or_default());
    let name = envelope.name();
    if whole {
        return (method, name);
    }
    let cut = match name {
        Some(_) => method.rfind('/').map_or(0, |at| at + 1),
        None if method.starts_with(NOTIFICATIONS) => NOTIFICATIONS.len(),
        None => 0,
    };
    (Cow::Owned(method[cut..].to_owned()), name)
}
