//! Lists in pages: that they end.

use foldhash::HashMap;

use super::calls::UnansweredCall;
use super::catalogue::{LIST_CURSOR_TWICE, LIST_ENDLESS};
use super::found::{FindingSink, JudgedMessage, quoted};

/// Pages of one list.
const MOST_PAGES: usize = 200;
/// Cursors that are remembered of one list.
const MOST_CURSORS: usize = 10_000;

/// Which page follows on which: of each list, by the cursor of a page that of the next. The first page has none.
#[derive(Debug, Default)]
pub(super) struct ListPages(HashMap<Box<str>, HashMap<Box<str>, Box<str>>>);

impl ListPages {
    /// A page came.
    pub(super) fn answer(&mut self, call: &UnansweredCall, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
        if !call.method.ends_with("/list") {
            return;
        }
        let Some(next) = judged.at(&["result", "nextCursor"]).filter(|next| *next != "null") else { return };
        let pages = self.0.entry(call.method.clone()).or_default();
        if pages.len() >= MOST_CURSORS {
            pages.clear();
        }
        let this = call.cursor.clone().unwrap_or_default();
        pages.insert(this.clone(), next.into());
        let mut at = next;
        for _ in 0..MOST_PAGES {
            if at == &*this {
                let text = format!("{}: the page after {} leads back to it", call.method, quoted(next));
                return out.report(&LIST_CURSOR_TWICE, judged, text);
            }
            match pages.get(at) {
                Some(next) => at = next,
                None => break,
            }
        }
        // Told once: as it is passed.
        if pages.len() == MOST_PAGES + 1 {
            out.report(&LIST_ENDLESS, judged, format!("{} has more than {MOST_PAGES} pages", quoted(&call.method)));
        }
    }
}
