//! `/`, `n` and `N`.

use crate::ui::model::Model;
use crate::ui::model::prompt::PromptKind;
use crate::ui::model::search::{Search, SearchJump};

/// What is typed after `/` is looked for at once; only `enter` moves the cursor.
pub(super) fn search_changed(model: &mut Model) {
    let Some(prompt) = model.prompt.as_mut().filter(|prompt| prompt.kind == PromptKind::Search) else { return };
    prompt.fault = None;
    let text = prompt.line.text();
    model.search = match Search::of(text) {
        Ok(search) => search,
        Err(why) => {
            prompt.fault = Some(why);
            None
        }
    };
    model.restart_search();
}

/// `enter`: to the first match from here on.
pub(super) fn accept(model: &mut Model) {
    if model.prompt.as_ref().is_some_and(|prompt| prompt.fault.is_some()) {
        return;
    }
    model.prompt = None;
    if model.search.is_some() {
        model.go_to_next_match(SearchJump { forward: true, inclusive: true });
    }
}

/// To the next match, or the one before; says so where it goes on from the other end, and where there is none.
pub(super) fn next(model: &mut Model, forward: bool) {
    if model.search.is_none() {
        return model.notify("nothing is searched for: `<everywhere search>` searches here");
    }
    model.go_to_next_match(SearchJump { forward, inclusive: false });
}
