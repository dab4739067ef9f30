//! What the help says: all keys, signs and filters, those of this place first; typing narrows them.

use super::keymap::{Action, KeyBinding, KeyContext, bindings, contexts_below};
use super::model::Model;
use super::model::popup::Help;
use super::settings::KeyChoice;
use crate::filter::OPERATORS;

/// Signs in the list.
const SIGNS: [(&str, &str); 18] = [
    ("> <", "client to server, server to client"),
    ("Q R E N", "request, result, error, notification"),
    ("B ?", "batch, not JSON-RPC"),
    ("!", "held"),
    ("*", "edited; a request that was answered with a result here"),
    ("x", "blocked: answered with an error here"),
    ("-", "dropped: not sent on, not answered"),
    ("+", "made here: a resent request, an answer of ours"),
    ("m ;", "marked; has a comment"),
    ("* (tapes)", "marked to be compared"),
    ("=", "reply to a resent request: shown, not delivered"),
    ("% (or not equal)", "a shadow answered otherwise, or not at all"),
    ("? (first column)", "given up: a peer hung up or took it back while it was held"),
    ("▸6s (dur)", "held or without a reply so long"),
    ("left (queue)", "until the client gives up; with ~ a guess: 60 s, as the TypeScript SDK"),
    ("dur", "from request to reply"),
    ("+12 (sessions)", "came unseen"),
    ("dropped N (top)", "the screen could not keep up; everything is sent again"),
];

const FILTERS: &str = "filters; joined by not, and, or, ( ), or ! & |";

/// A line of the help: a heading, or a key and what it does.
pub(crate) enum HelpRow {
    Heading(&'static str),
    /// The action is there where it would do something now.
    Entry(String, String, Option<Action>),
}

/// All keys there are, with what they do, by the place where they work.
pub fn keys(own: &KeyChoice) -> Vec<(&'static str, Vec<(String, &'static str)>)> {
    let of = |context| shown(own, context).map(|(binding, keys)| (keys, binding.help)).collect();
    KeyContext::ALL.map(|context| (context.title(), of(context))).into()
}

/// What has keys in a place, and those keys.
fn shown(own: &KeyChoice, context: KeyContext) -> impl Iterator<Item = (&'static KeyBinding, String)> {
    bindings(own, context).filter(|(_, keys)| !keys.is_empty()).map(|(binding, keys)| (binding, keys.join(", ")))
}

/// How far the help can be scrolled in a window of this height.
pub(crate) fn last_help_top(model: &Model, help: &Help, height: u16) -> usize {
    // The lines around the body, the box, and the search line with the one below it.
    let room = usize::from(height).saturating_sub(8);
    help_rows(model, &help.search.text().to_lowercase(), help_width(model.viewport.width)).len().saturating_sub(room)
}

/// Columns of the help in a window of this width.
pub(crate) fn help_width(width: u16) -> u16 {
    width.min(if width >= 120 { 108 } else { 84 })
}

/// What `enter` does: the first action that was searched for and does something here.
pub(crate) fn marked_action(model: &Model, help: &Help) -> Option<Action> {
    let search = help.search.text().to_lowercase();
    let rows = help_rows(model, &search, help_width(model.viewport.width));
    marked_row(&rows, &search).and_then(|at| match rows.get(at) {
        Some(HelpRow::Entry(_, _, action)) => *action,
        _ => None,
    })
}

/// The row that `enter` is about.
pub(crate) fn marked_row(rows: &[HelpRow], search: &str) -> Option<usize> {
    rows.iter().position(|row| matches!(row, HelpRow::Entry(_, _, Some(_)))).filter(|_| !search.is_empty())
}

/// The lines that contain `search`, keys of the place below the help first.
pub(crate) fn help_rows(model: &Model, search: &str, width: u16) -> Vec<HelpRow> {
    // A `/` pressed to search is part of what was typed.
    let search = search.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(search);
    let mut rows = HelpRows { search, room: usize::from(width).saturating_sub(28), rows: Vec::new() };
    let own = &model.settings.keys;
    let (here, elsewhere) = in_order(model);
    for context in &here {
        let entries = shown(own, *context).filter(|(binding, _)| !is_told_elsewhere(model, &here, binding));
        let entries = entries.map(|(binding, keys)| {
            let action = Some(binding.action).filter(|_| (binding.when)(model));
            HelpEntry { keys, hint: binding.hint, what: binding.help, action }
        });
        rows.section(context.title(), entries);
    }
    rows.section("signs", SIGNS.iter().map(HelpEntry::of_sign));
    rows.section(FILTERS, OPERATORS.iter().map(HelpEntry::of_sign));
    for context in elsewhere {
        let entries = shown(own, context);
        let entries = entries.map(|(it, keys)| HelpEntry { keys, hint: it.hint, what: it.help, action: None });
        rows.section(context.title(), entries);
    }
    rows.rows
}

/// Whether the keys do the same in another place that has them, too: each is told once, where it does something, further in first.
fn is_told_elsewhere(model: &Model, here: &[KeyContext], this: &KeyBinding) -> bool {
    let at = here.iter().position(|context| *context == this.on).unwrap_or(here.len());
    let has = |context: &KeyContext, is_it: &dyn Fn(&KeyBinding) -> bool| {
        bindings(&model.settings.keys, *context).any(|(it, _)| is_it(it))
    };
    let is_same = |it: &KeyBinding| it.action == this.action && it.keys == this.keys;
    let works = (this.when)(model);
    let (inside, around) = here.split_at(at);
    inside.iter().any(|context| has(context, &|it| is_same(it) && (!works || (it.when)(model))))
        || !works && around.iter().skip(1).any(|context| has(context, &|it| is_same(it) && (it.when)(model)))
}

/// What the keys were about before the help took them, and the rest.
fn in_order(model: &Model) -> (Vec<KeyContext>, Vec<KeyContext>) {
    let mut order: Vec<KeyContext> = contexts_below(model);
    // They are everywhere, and about nothing in particular.
    order.retain(|context| *context != KeyContext::Search && (*context != KeyContext::Piping || model.pipes()));
    let rest = KeyContext::ALL.into_iter().filter(|context| !order.contains(context)).collect();
    (order, rest)
}

/// What is told of a key or sign.
struct HelpEntry {
    keys: String,
    /// How the key line calls it: that is searched for, too.
    hint: &'static str,
    what: &'static str,
    action: Option<Action>,
}

impl HelpEntry {
    fn of_sign((sign, what): &(&'static str, &'static str)) -> Self {
        Self { keys: (*sign).to_owned(), hint: "", what, action: None }
    }

    fn has(&self, search: &str) -> bool {
        let has = |text: &str| text.to_lowercase().contains(search);
        search.is_empty() || has(self.what) || has(self.hint) || self.keys.contains(search)
    }
}

struct HelpRows<'a> {
    search: &'a str,
    /// Columns for what a key does.
    room: usize,
    rows: Vec<HelpRow>,
}

impl HelpRows<'_> {
    fn section(&mut self, title: &'static str, entries: impl Iterator<Item = HelpEntry>) {
        let search = self.search;
        let mut is_first = true;
        for HelpEntry { keys, what, action, .. } in entries.filter(|entry| entry.has(search)) {
            if std::mem::take(&mut is_first) {
                self.rows.push(HelpRow::Heading(title));
            }
            let mut lines = in_words(what, self.room.max(20)).into_iter();
            self.rows.push(HelpRow::Entry(keys, lines.next().unwrap_or_default(), action));
            self.rows.extend(lines.map(|line| HelpRow::Entry(String::new(), line, None)));
        }
    }
}

/// A text in lines that end with a word.
fn in_words(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split(' ') {
        let Some(line) = lines.last_mut() else { break };
        match line.chars().count() {
            0 => line.push_str(word),
            used if used + 1 + word.chars().count() <= width => line.extend([" ", word]),
            _ => lines.push(word.to_owned()),
        }
    }
    lines
}
