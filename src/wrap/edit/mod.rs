//! Putting tapline in front of servers and taking it away again: text in, text out.
//!
//! Only what must change is spliced. `command` becomes tapline, and what it was moves to the head of `args` in its
//! own spelling; so the way back needs no memory, and arguments that were edited in between stay edited. What cannot
//! be told from the text (an entry without `args`, one with an address) is kept in a [`OriginalServer`].
//!
//! Nothing is serialised: parsers only say where values stand. Every edit is read again before it counts.

mod check;
mod remote;

use std::collections::HashMap;

use serde::{Deserialize, Serialize};
use thiserror::Error;

use self::check::{EditCheck, PlannedEdit};
use super::clients::Containers;
use super::doc::{ConfigDoc, ConfigFormat, ConfigSyntaxError, DocMember, DocNode, Splice, literal};
use super::entry::{ServerEntry, ServerTransport, entries};

/// The text of a configuration, and how to read it.
#[derive(Clone, Copy, Debug)]
pub struct EditSource<'t> {
    pub text: &'t str,
    pub format: ConfigFormat,
    pub containers: Containers,
    /// Programs that are tapline, beside all that are called so.
    pub taplines: &'t [String],
}

/// What to route, and through what.
#[derive(Clone, Copy, Debug)]
pub struct WrapChoice<'a> {
    /// The program that clients shall start.
    pub tapline: &'a str,
    /// Names of servers; empty for all.
    pub servers: &'a [String],
    /// Whether servers at a URL are wrapped, too.
    pub remote: bool,
    /// Whether servers at a URL that are sent headers are wrapped, too.
    pub headers: bool,
}

impl WrapChoice<'_> {
    fn takes(&self, entry: &ServerEntry<'_>) -> bool {
        self.servers.is_empty() || self.servers.iter().any(|name| name == entry.name())
    }
}

/// The edited text, what was done and what was not.
#[derive(Debug, Default)]
pub struct ConfigEdit {
    pub text: String,
    /// One for each server that was changed.
    pub changed: Vec<OriginalServer>,
    pub skipped: Vec<(String, SkipReason)>,
}

/// A server as it was before it was wrapped, as far as its wrapped form does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OriginalServer {
    /// The keys from the root of the file to the entry.
    pub path: Vec<String>,
    /// The entry whole, where it stands in one piece.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub entry: Option<EntryText>,
    /// Whether the entry had no `args` before it was wrapped.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub no_args: bool,
    /// Members of a remote server that had to change or go, the address first.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub members: Vec<(String, String)>,
}

/// The text of an entry on both sides of an edit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct EntryText {
    pub was: String,
    pub became: String,
}

impl OriginalServer {
    /// Returns the name of the server.
    pub fn name(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    /// Whether the server was reached at a URL before it was wrapped.
    pub fn is_remote(&self) -> bool {
        !self.members.is_empty()
    }
}

/// What is known of servers from before they were wrapped, by path.
pub struct KnownServers<'k>(HashMap<&'k [String], &'k OriginalServer>);

impl<'k> KnownServers<'k> {
    /// An edit of a file of which these servers are known to be wrapped.
    pub fn new(known: &'k [OriginalServer]) -> Self {
        Self(known.iter().rev().map(|was| (was.path.as_slice(), was)).collect())
    }

    /// What is known of the server at a path, be it nothing more.
    pub fn at(&self, path: &[String]) -> OriginalServer {
        let known = self.0.get(path).map(|&was| was.clone());
        known.unwrap_or_else(|| OriginalServer { path: path.to_owned(), ..OriginalServer::default() })
    }
}

/// Why a server was left alone.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum SkipReason {
    #[error("goes through tapline already")]
    Wrapped,
    #[error("is remote; `--remote` routes it too")]
    Remote,
    #[error("is remote and its client sends `{0}`; `--headers` has tapline send them, from `env` in the file")]
    Headers(String),
    #[error("is remote and its client handles `{0}`, which tapline cannot do in its place")]
    Auth(String),
    #[error("names no command; its client finds it by itself")]
    Unknown,
    #[error("has spaces in its command and no `args`; give the arguments in `args` first")]
    ShellLine,
    #[error("is written in a way that tapline does not edit")]
    Odd,
    #[error("was edited, and nothing tells what it was before; its address is `{0}`")]
    Forgotten(String),
}

/// A server as a list shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ListedServer {
    /// The keys from the root of the file to the entry; the last is the server's name.
    pub path: Vec<String>,
    /// The command line or the address.
    pub summary: String,
    pub remote: bool,
    pub wrapped: bool,
}

impl ListedServer {
    pub fn name(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }
}

/// The servers of a configuration.
pub fn servers(source: EditSource<'_>) -> Result<Vec<ListedServer>, ConfigSyntaxError> {
    let doc = ConfigDoc::parse(split_bom(source.text).1, source.format)?;
    let listed = entries(&doc, source.containers, source.taplines).into_iter().map(|entry| ListedServer {
        summary: entry.summary(),
        remote: matches!(entry.way, ServerTransport::Remote(_)),
        wrapped: entry.wrapped,
        path: entry.path,
    });
    Ok(listed.collect())
}

/// Routes the chosen servers through tapline.
pub fn wrap(source: EditSource<'_>, choice: WrapChoice<'_>) -> Result<ConfigEdit, ConfigSyntaxError> {
    let taplines = [source.taplines, &[choice.tapline.to_owned()]].concat();
    let source = EditSource { taplines: &taplines, ..source };
    edit(source, true, |doc, entry| choice.takes(entry).then(|| route(doc, entry, choice)))
}

/// Takes tapline away from those of the named servers that go through it; of all when none is named.
pub fn unwrap(
    source: EditSource<'_>,
    names: &[String],
    was: &[OriginalServer],
) -> Result<ConfigEdit, ConfigSyntaxError> {
    let known = KnownServers::new(was);
    edit(source, false, |doc, entry| {
        let chosen = names.is_empty() || names.iter().any(|name| name == entry.name());
        if !entry.wrapped || !chosen {
            return None;
        }
        let was = known.at(&entry.path);
        Some(restore(doc, entry, &was).map(|splices| (splices, was)))
    })
}

/// One server's part of an edit.
type ServerEdit = (Vec<Splice>, OriginalServer);

/// Edits the servers that `part` says something about. `wrapped`: what they shall be then. The work grows with the text, not
/// with the text times the servers in it: all parts are made and read again at once.
fn edit(
    source: EditSource<'_>,
    wrapped: bool,
    mut part: impl FnMut(&ConfigDoc<'_>, &ServerEntry<'_>) -> Option<Result<ServerEdit, SkipReason>>,
) -> Result<ConfigEdit, ConfigSyntaxError> {
    let (bom, body) = split_bom(source.text);
    let doc = ConfigDoc::parse(body, source.format)?;
    let entries = entries(&doc, source.containers, source.taplines);
    let (mut planned, mut skipped) = (Vec::new(), Vec::new());
    for (at, entry) in entries.iter().enumerate() {
        match part(&doc, entry) {
            Some(Ok((splices, was))) => planned.push(PlannedEdit { at, splices, was }),
            Some(Err(why)) => skipped.push((at, why)),
            None => {}
        }
    }
    let done = EditCheck { source, doc: &doc, entries: &entries, wrapped }.run(planned);
    skipped.extend(done.odd.into_iter().map(|at| (at, SkipReason::Odd)));
    skipped.sort_by_key(|(at, _)| *at);
    Ok(ConfigEdit {
        text: format!("{bom}{}", done.text),
        changed: done.changed,
        skipped: skipped.into_iter().map(|(at, why)| (entries[at].name().to_owned(), why)).collect(),
    })
}

fn route(doc: &ConfigDoc<'_>, entry: &ServerEntry<'_>, choice: WrapChoice<'_>) -> Result<ServerEdit, SkipReason> {
    let mut was = OriginalServer { path: entry.path.clone(), ..OriginalServer::default() };
    if entry.wrapped {
        return Err(SkipReason::Wrapped);
    }
    let splices = match entry.way {
        ServerTransport::Command { holder, program, args } => {
            was.no_args = args.is_none();
            route_command(doc, holder, program, args, (choice.tapline, before_command(entry.name())))?
        }
        ServerTransport::Words(words) => {
            let tapline = [vec![literal(choice.tapline)], before_command(entry.name())].concat();
            vec![ahead(doc, words, &tapline, false)]
        }
        ServerTransport::Remote(_) if !choice.remote => return Err(SkipReason::Remote),
        ServerTransport::Remote(url) => {
            let (splices, members) = remote::route(doc, entry, url, choice)?;
            was.members = members;
            splices
        }
        ServerTransport::Unknown => return Err(SkipReason::Unknown),
    };
    Ok((splices, was))
}

fn route_command(
    doc: &ConfigDoc<'_>,
    holder: &DocNode,
    program: &DocMember,
    args: Option<&DocMember>,
    (tapline, mut words): (&str, Vec<String>),
) -> Result<Vec<Splice>, SkipReason> {
    let elements = match args {
        Some(args) => args.value.list().ok_or(SkipReason::Odd)?,
        None => &[],
    };
    if elements.is_empty() && program.value.text().is_some_and(is_shell_line) {
        return Err(SkipReason::ShellLine);
    }
    words.push(doc.raw(&program.value.span).to_owned());
    let routed = match args {
        None => beside(doc, holder, program, "args", &format!("[{}]", words.join(", "))),
        Some(args) if elements.is_empty() => Splice::insert(args.value.span.start + 1, words.join(", ")),
        Some(args) => ahead(doc, elements, &words, is_compact(doc, args)),
    };
    Ok(vec![Splice::replace(&program.value.span, literal(tapline)), routed])
}

/// What tapline is told before the words of a command.
fn before_command(name: &str) -> Vec<String> {
    std::iter::once("stdio".to_owned())
        .chain(name_option(name))
        .chain(["--".to_owned()])
        .map(|it| literal(&it))
        .collect()
}

/// What `tapline attach` is to call a server: as its client does. Not where the client might read something else in it, or
/// cannot launch a program with it.
pub(super) fn name_option(name: &str) -> Option<String> {
    let plain = !name.is_empty() && !name.contains('$') && !name.contains(char::is_control);
    plain.then(|| format!("--name={name}"))
}

/// Several words where one program is expected; a path may have spaces.
fn is_shell_line(program: &str) -> bool {
    program.split_once(char::is_whitespace).is_some_and(|(first, _)| !first.contains(['/', '\\']))
}

/// Words at the head of a list, laid out as the list is.
fn ahead(doc: &ConfigDoc<'_>, elements: &[DocNode], words: &[String], compact: bool) -> Splice {
    let first = elements[0].span.start;
    let gap = doc.break_before(first).unwrap_or_else(|| if compact { String::new() } else { " ".to_owned() });
    Splice::insert(first, words.iter().map(|word| format!("{word},{gap}")).collect::<String>())
}

fn is_compact(doc: &ConfigDoc<'_>, member: &DocMember) -> bool {
    doc.raw(&(member.key_span.end..member.value.span.start)) == ":"
}

/// A new member beside another of its table, laid out as that is.
fn beside(doc: &ConfigDoc<'_>, table: &DocNode, member: &DocMember, key: &str, value: &str) -> Splice {
    if has_lines(doc, table) {
        // Above, because a comment may follow the member on its line.
        let before = doc.line_before(member.key_span.start);
        let line = format!("{before}{key} = {value}{}", doc.eol(member.key_span.start));
        return Splice::insert(member.key_span.start - before.len(), line);
    }
    Splice::insert(member.value.span.end, format!(",{}{}", gap(doc, member), assignment(doc, member, key, value)))
}

/// Whether the members of a table have a line each, as under a header of TOML.
pub(super) fn has_lines(doc: &ConfigDoc<'_>, table: &DocNode) -> bool {
    doc.format == ConfigFormat::Toml && !doc.in_braces(table)
}

/// What stands between the comma after a member and the next one.
pub(super) fn gap(doc: &ConfigDoc<'_>, member: &DocMember) -> String {
    let inline = if is_compact(doc, member) { "" } else { " " };
    doc.break_before(member.key_span.start).unwrap_or_else(|| inline.to_owned())
}

/// A member as its neighbour would be written.
pub(super) fn assignment(doc: &ConfigDoc<'_>, neighbour: &DocMember, key: &str, value: &str) -> String {
    match doc.format {
        ConfigFormat::Toml => format!("{key} = {value}"),
        ConfigFormat::Jsonc => {
            let sign = doc.raw(&(neighbour.key_span.end..neighbour.value.span.start));
            let sign = if sign.trim() == ":" && !sign.contains('\n') { sign } else { ": " };
            format!("{}{sign}{value}", literal(key))
        }
    }
}

/// Takes a member out of its table, with the comma or the line that came with it.
pub(super) fn without(doc: &ConfigDoc<'_>, table: &DocNode, member: &DocMember) -> Splice {
    let DocMember { key_span, value, .. } = member;
    if has_lines(doc, table) {
        return Splice::remove(key_span.start - doc.line_before(key_span.start).len()..doc.line_end(value.span.end));
    }
    let members = table.members().unwrap_or_default();
    let before = members.iter().rfind(|other| other.value.span.end <= key_span.start);
    let after = members.iter().find(|other| other.key_span.start >= value.span.end);
    Splice::remove(match (before, after) {
        (Some(before), _) => before.value.span.end..value.span.end,
        (None, Some(after)) => key_span.start..after.key_span.start,
        (None, None) => member.span(),
    })
}

fn restore(doc: &ConfigDoc<'_>, entry: &ServerEntry<'_>, was: &OriginalServer) -> Result<Vec<Splice>, SkipReason> {
    if let Some(EntryText { was, became }) = &was.entry
        && doc.in_braces(entry.node)
        && doc.raw(&entry.node.span) == became
    {
        return Ok(vec![Splice::replace(&entry.node.span, was.as_str())]);
    }
    match entry.way {
        ServerTransport::Words(words) => {
            let dashes = dashes(words).ok_or(SkipReason::Odd)?;
            Ok(vec![first_ones_away(doc, words, dashes + 1)])
        }
        ServerTransport::Command { holder, program, args } => {
            let args = args.ok_or(SkipReason::Odd)?;
            let elements = args.value.list().ok_or(SkipReason::Odd)?;
            match dashes(elements) {
                Some(dashes) => restore_command(doc, holder, program, args, dashes, was.no_args),
                None => remote::restore(doc, entry.node, program, args, &was.members),
            }
        }
        ServerTransport::Remote(_) | ServerTransport::Unknown => Err(SkipReason::Odd),
    }
}

fn dashes(words: &[DocNode]) -> Option<usize> {
    words.iter().position(|word| word.text() == Some("--"))
}

fn restore_command(
    doc: &ConfigDoc<'_>,
    holder: &DocNode,
    program: &DocMember,
    args: &DocMember,
    dashes: usize,
    no_args: bool,
) -> Result<Vec<Splice>, SkipReason> {
    let elements = args.value.list().ok_or(SkipReason::Odd)?;
    let original = elements.get(dashes + 1).ok_or(SkipReason::Odd)?;
    let none_left = elements.len() == dashes + 2;
    let back = Splice::replace(&program.value.span, doc.raw(&original.span));
    let away =
        if none_left && no_args { without(doc, holder, args) } else { first_ones_away(doc, elements, dashes + 2) };
    Ok(vec![back, away])
}

/// Takes so many elements from the head of a list.
fn first_ones_away(doc: &ConfigDoc<'_>, elements: &[DocNode], count: usize) -> Splice {
    let start = elements[0].span.start;
    let end = match elements.get(count) {
        Some(next) => next.span.start,
        None => {
            let end = elements[count - 1].span.end;
            let rest = doc.text[end..].trim_start();
            // A formatter may have set a trailing comma.
            if rest.starts_with(',') { doc.text.len() - rest.len() + 1 } else { end }
        }
    };
    Splice::remove(start..end)
}

/// A byte order mark, and the text after it.
fn split_bom(text: &str) -> (&str, &str) {
    text.split_at(if text.starts_with('\u{feff}') { '\u{feff}'.len_utf8() } else { 0 })
}

#[cfg(test)]
mod tests;
