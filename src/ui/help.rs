//! What the help says: all keys, signs and filters, those of this place first; typing narrows them.

use super::keymap::{KeyContext, bindings, contexts_below};
use super::model::Model;
use super::model::popup::Help;
use crate::filter::OPERATORS;

/// Signs in the list.
const SIGNS: [(&str, &str); 16] = [
    ("> <", "client to server, server to client"),
    ("Q R E N", "request, result, error, notification"),
    ("B ?", "batch, not JSON-RPC"),
    ("!", "held"),
    ("*", "edited"),
    ("x", "blocked: answered with an error here"),
    ("-", "dropped: not sent on, not answered"),
    ("+", "made here: a resent request, an answer of ours"),
    ("=", "reply to a resent request: shown, not delivered"),
    ("% (or not equal)", "a shadow answered otherwise, or not at all"),
    ("? (first column)", "gone: a peer hung up while it was held"),
    ("6s..", "held or without a reply so long"),
    ("left (queue)", "until the client gives up; with ~ a guess: 60 s, as the TypeScript SDK"),
    ("dur", "from request to reply, in milliseconds"),
    ("+12 (sessions)", "came unseen"),
    ("dropped N (top)", "the screen could not keep up; everything is sent again"),
];

const FILTERS: &str = "filters; joined by not, and, or, ( ), or ! & |";

/// A line of the help: a heading, or a key and what it does.
pub(crate) enum HelpRow {
    Heading(&'static str),
    Entry(String, &'static str),
}

/// All keys there are, with what they do, by the place where they work.
pub fn keys() -> Vec<(&'static str, Vec<(String, &'static str)>)> {
    let of = |context| bindings(context).map(|binding| (binding.keys.join(", "), binding.help)).collect();
    KeyContext::ALL.map(|context| (context.title(), of(context))).into()
}

/// How far the help can be scrolled in a window of this height.
pub(crate) fn last_help_top(model: &Model, help: &Help, height: u16) -> usize {
    // The lines around the body, the box, and the search line with the one below it.
    let room = usize::from(height).saturating_sub(8);
    help_rows(model, &help.search.text().to_lowercase()).len().saturating_sub(room)
}

/// The lines that contain `search`, keys of the place below the help first.
pub(crate) fn help_rows(model: &Model, search: &str) -> Vec<HelpRow> {
    // A `/` pressed to search is part of what was typed.
    let search = search.strip_prefix('/').filter(|rest| !rest.is_empty()).unwrap_or(search);
    let mut rows = Vec::new();
    for context in in_order(model) {
        let entries = bindings(context).map(|binding| (binding.keys.join(", "), binding.help));
        section(&mut rows, context.title(), entries, search);
    }
    section(&mut rows, "signs", SIGNS.iter().map(|(sign, what)| ((*sign).to_owned(), *what)), search);
    section(&mut rows, FILTERS, OPERATORS.iter().map(|(sign, what)| ((*sign).to_owned(), *what)), search);
    rows
}

/// What the keys were about before the help took them, then the rest.
fn in_order(model: &Model) -> Vec<KeyContext> {
    let mut order: Vec<KeyContext> = contexts_below(model);
    // It is everywhere, and about nothing in particular.
    order.retain(|context| *context != KeyContext::Search);
    let rest: Vec<KeyContext> = KeyContext::ALL.into_iter().filter(|context| !order.contains(context)).collect();
    order.extend(rest);
    order
}

fn section(
    rows: &mut Vec<HelpRow>,
    title: &'static str,
    entries: impl Iterator<Item = (String, &'static str)>,
    search: &str,
) {
    let found: Vec<HelpRow> = entries
        .filter(|(key, what)| search.is_empty() || what.to_lowercase().contains(search) || key.contains(search))
        .map(|(key, what)| HelpRow::Entry(key, what))
        .collect();
    if !found.is_empty() {
        rows.push(HelpRow::Heading(title));
        rows.extend(found);
    }
}
