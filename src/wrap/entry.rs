//! What one server of a configuration is: how its client reaches it, and whether tapline is in between.

use std::collections::HashMap;

use super::doc::{ConfigDoc, DocMember, DocNode, steps};

/// Keys under which clients write the address of a remote server.
const URL_KEYS: [&str; 3] = ["url", "httpUrl", "serverUrl"];

/// A server of a configuration, and where its entry stands.
#[derive(Clone, Debug)]
pub(super) struct ServerEntry<'d> {
    /// The keys from the root to the entry; the last is the server's name.
    pub(super) path: Vec<String>,
    pub(super) node: &'d DocNode,
    pub(super) way: ServerTransport<'d>,
    /// tapline is in between already.
    pub(super) wrapped: bool,
}

/// How a client reaches a server.
#[derive(Clone, Debug)]
pub(super) enum ServerTransport<'d> {
    /// A program and its arguments, in the entry itself or in a table of its own (older Zed).
    Command { holder: &'d DocNode, program: &'d DocMember, args: Option<&'d DocMember> },
    /// Program and arguments in one list.
    Words(&'d [DocNode]),
    /// A server at a URL, with the member that says which.
    Remote(&'d DocMember),
    /// Neither; the client finds it by itself, as Zed does with servers from extensions.
    Unknown,
}

impl<'d> ServerEntry<'d> {
    fn new(path: Vec<String>, node: &'d DocNode, taplines: &[String]) -> Self {
        let way = way(node);
        let wrapped = wraps(&way, taplines);
        Self { path, node, way, wrapped }
    }

    pub(super) fn name(&self) -> &str {
        self.path.last().map_or("", String::as_str)
    }

    /// How it reads for a person: the command line or the address, of a wrapped one what is behind tapline.
    pub(super) fn summary(&self) -> String {
        let words = words(&self.way);
        let shown = if self.wrapped { behind(&words) } else { &words };
        shown.join(" ")
    }
}

/// The servers of a document that are in one of the containers, in the order of the text. A `*` in the path of a
/// container stands for any key.
pub(super) fn entries<'d>(doc: &'d ConfigDoc<'_>, containers: &[&[&str]], taplines: &[String]) -> Vec<ServerEntry<'d>> {
    let mut entries = Vec::new();
    for container in containers {
        descend(&doc.root, container, &mut Vec::new(), &mut |path, table| {
            let members = table.members().unwrap_or_default();
            steps::count(members.len());
            // Of members with the same name the last counts.
            let last: HashMap<&str, usize> =
                members.iter().enumerate().map(|(at, member)| (member.key.as_str(), at)).collect();
            for (at, member) in members.iter().enumerate() {
                if last[member.key.as_str()] == at && is_server(&member.value) {
                    let path = [path, std::slice::from_ref(&member.key)].concat();
                    entries.push(ServerEntry::new(path, &member.value, taplines));
                }
            }
        });
    }
    entries
}

fn descend<'d>(
    node: &'d DocNode,
    keys: &[&str],
    path: &mut Vec<String>,
    found: &mut impl FnMut(&[String], &'d DocNode),
) {
    let Some((key, rest)) = keys.split_first() else {
        return found(path, node);
    };
    let members = match *key {
        "*" => node.members().unwrap_or_default(),
        key => node.member(key).map(std::slice::from_ref).unwrap_or_default(),
    };
    for member in members {
        path.push(member.key.clone());
        descend(&member.value, rest, path, found);
        path.pop();
    }
}

/// Whether a member of a container is a server. Containers of unknown files may hold anything.
fn is_server(node: &DocNode) -> bool {
    !matches!(way(node), ServerTransport::Unknown)
        || ["source", "settings"].iter().any(|key| node.member(key).is_some())
}

fn way(entry: &DocNode) -> ServerTransport<'_> {
    if let Some(command) = entry.member("command") {
        if let Some(words) = command.value.list().filter(|words| !words.is_empty()) {
            return ServerTransport::Words(words);
        }
        let (holder, program) = match command.value.member("path").or_else(|| command.value.member("command")) {
            Some(program) => (&command.value, program),
            None => (entry, command),
        };
        if program.value.text().is_some() {
            return ServerTransport::Command { holder, program, args: holder.member("args") };
        }
    }
    let url = URL_KEYS.iter().find_map(|key| entry.member(key)).filter(|url| url.value.text().is_some());
    url.map_or(ServerTransport::Unknown, ServerTransport::Remote)
}

/// Program and arguments, or the address.
fn words<'d>(way: &ServerTransport<'d>) -> Vec<&'d str> {
    match way {
        ServerTransport::Command { program, args, .. } => {
            let args = args.and_then(|args| args.value.list()).unwrap_or_default();
            std::iter::once(&program.value).chain(args).filter_map(DocNode::text).collect()
        }
        ServerTransport::Words(words) => words.iter().filter_map(DocNode::text).collect(),
        ServerTransport::Remote(url) => url.value.text().into_iter().collect(),
        ServerTransport::Unknown => Vec::new(),
    }
}

/// What of a wrapped server's words is the server itself.
fn behind<'a, 'w>(words: &'a [&'w str]) -> &'a [&'w str] {
    let at = |word| words.iter().position(|candidate| *candidate == word);
    match (at("--"), at("--upstream")) {
        (Some(dashes), _) => &words[dashes + 1..],
        (None, Some(option)) => words.get(option + 1..option + 2).unwrap_or_default(),
        (None, None) => &[],
    }
}

fn wraps(way: &ServerTransport<'_>, taplines: &[String]) -> bool {
    if matches!(way, ServerTransport::Remote(_)) {
        return false;
    }
    let words = words(way);
    matches!(words[..], [program, "stdio", ..] if is_tapline(program, taplines)) && !behind(&words).is_empty()
}

/// Whether a program is tapline: one of those that are known to be, or one of that name from another time or place.
fn is_tapline(program: &str, taplines: &[String]) -> bool {
    let file = program.rsplit(['/', '\\']).next().unwrap_or(program);
    taplines.iter().any(|tapline| tapline == program) || file == "tapline" || file.eq_ignore_ascii_case("tapline.exe")
}
