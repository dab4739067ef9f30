//! Servers at an address: from `url` to a command of tapline that reaches it, and back.

use super::{SkipReason, WrapChoice, assignment, gap, has_lines, name_option, without};
use crate::cli::{HEADERS_VARIABLE, TransportArg};
use crate::wrap::doc::{ConfigDoc, ConfigFormat, DocMember, DocNode, Splice, literal};
use crate::wrap::entry::ServerEntry;

/// Members that hold headers to send.
const HEADERS: [&str; 2] = ["headers", "http_headers"];

/// Members by which a client signs in; tapline cannot do that in its place.
const AUTH: [&str; 8] = [
    "auth",
    "authProviderType",
    "bearer_token_env_var",
    "env_http_headers",
    "headersHelper",
    "oauth",
    "oauth_resource",
    "targetAudience",
];

/// Members that say how a client reaches a server, and what they say of an address.
const KIND: [&str; 2] = ["type", "transport"];
const SSE: &str = "sse";
const STREAMABLE: [&str; 5] = ["http", "streamable-http", "streamableHttp", "streamable_http", "streamable"];

/// The member that holds the environment of a command.
const ENV: &str = "env";

type KeptMembers = Vec<(String, String)>;

/// The splices that turn an address into a command, and the members they changed.
pub(super) fn route(
    doc: &ConfigDoc<'_>,
    server: &ServerEntry<'_>,
    url: &DocMember,
    choice: WrapChoice<'_>,
) -> Result<(Vec<Splice>, KeptMembers), SkipReason> {
    let entry = server.node;
    if let Some(key) = AUTH.into_iter().find(|key| entry.member(key).is_some()) {
        return Err(SkipReason::Auth(key.to_owned()));
    }
    let headers = HEADERS.iter().find_map(|key| entry.member(key));
    let mut args = vec![literal("stdio")];
    args.extend(name_option(server.name()).map(|name| literal(&name)));
    args.extend([literal("--upstream"), doc.raw(&url.value.span).to_owned()]);
    let mut members = vec![as_written(doc, url)];
    let mut splices = Vec::new();
    let mut variable = None;
    if let Some(headers) = headers.filter(|headers| headers.value.members().is_none_or(|all| !all.is_empty())) {
        if !choice.headers {
            return Err(SkipReason::Headers(headers.key.clone()));
        }
        variable = Some(pair(doc, HEADERS_VARIABLE, &header_lines(doc, headers)?));
        members.push(as_written(doc, headers));
        splices.push(without(doc, entry, headers));
    }
    let mut transport = None;
    for kind in KIND.iter().filter_map(|key| entry.member(key)) {
        let said = kind.value.text().filter(|kind| *kind == SSE || STREAMABLE.contains(kind)).ok_or(SkipReason::Odd)?;
        transport = transport.or(Some(said));
        members.push(as_written(doc, kind));
        splices.push(Splice::replace(&kind.value.span, literal("stdio")));
    }
    args.extend(transport.and_then(|kind| transport_option(kind, url.value.text()?)).map(literal));
    let command = assignment(doc, url, "command", &literal(choice.tapline));
    let args = assignment(doc, url, "args", &format!("[{}]", args.join(", ")));
    let mut in_place_of_url = vec![command, args];
    if let Some(variable) = variable {
        match entry.member(ENV) {
            Some(env) => splices.push(at_the_head(doc, env, &variable)?),
            None => {
                members.push((ENV.to_owned(), String::new()));
                // Under a header the last may have a comment behind it: that stays with it.
                let at = if has_lines(doc, entry) { 0 } else { 2 };
                in_place_of_url.insert(at, assignment(doc, url, ENV, &format!("{{{variable}}}")));
            }
        }
    }
    splices.push(Splice::replace(&url.span(), in_place_of_url.join(&between(doc, entry, url))));
    Ok((splices, members))
}

/// Says the transport where the client does: tapline would go by the address alone.
fn transport_option(kind: &str, url: &str) -> Option<&'static str> {
    match kind {
        SSE => Some("--transport=sse"),
        _ => TransportArg::Auto.is_sse(url).then_some("--transport=http"),
    }
}

/// A member as it is written.
fn as_written(doc: &ConfigDoc<'_>, member: &DocMember) -> (String, String) {
    (member.key.clone(), doc.raw(&member.span()).to_owned())
}

/// A key and a value within braces.
fn pair(doc: &ConfigDoc<'_>, key: &str, value: &str) -> String {
    match doc.format {
        ConfigFormat::Jsonc => format!("{}: {}", literal(key), literal(value)),
        ConfigFormat::Toml => format!("{key} = {}", literal(value)),
    }
}

/// Puts a pair before all others of a table in braces.
fn at_the_head(doc: &ConfigDoc<'_>, table: &DocMember, pair: &str) -> Result<Splice, SkipReason> {
    let members = table.value.members().filter(|_| doc.in_braces(&table.value)).ok_or(SkipReason::Odd)?;
    Ok(match members.first() {
        Some(first) => Splice::insert(first.key_span.start, format!("{pair}, ")),
        None => Splice::insert(table.value.span.start + 1, pair),
    })
}

/// Takes the headers out of the environment, and that too where it was made for them.
fn without_headers(doc: &ConfigDoc<'_>, entry: &DocNode, members: &KeptMembers) -> Option<Splice> {
    let env = entry.member(ENV)?;
    let variable = env.value.member(HEADERS_VARIABLE)?;
    let ours = members.iter().any(|(key, raw)| key == ENV && raw.is_empty());
    let alone = env.value.members().is_some_and(|all| all.len() == 1);
    Some(if ours && alone { without(doc, entry, env) } else { without(doc, &env.value, variable) })
}

/// The headers a line each. Not as arguments, which everybody on the machine can read; and in the file, not beside it, as
/// their clients put values in place of what they know (`${TOKEN}`).
fn header_lines(doc: &ConfigDoc<'_>, headers: &DocMember) -> Result<String, SkipReason> {
    let members = headers.value.members().filter(|_| doc.in_braces(&headers.value)).ok_or(SkipReason::Odd)?;
    let mut lines = Vec::new();
    for header in members {
        let value = header.value.text().ok_or(SkipReason::Odd)?;
        let line = format!("{}: {value}", header.key);
        if line.contains(['\n', '\r']) {
            return Err(SkipReason::Odd);
        }
        lines.push(line);
    }
    Ok(lines.join("\n"))
}

/// What stands between two members of a table.
fn between(doc: &ConfigDoc<'_>, table: &DocNode, member: &DocMember) -> String {
    if has_lines(doc, table) {
        let at = member.key_span.start;
        format!("{}{}", doc.eol(at), doc.line_before(at))
    } else {
        format!(",{}", gap(doc, member))
    }
}

/// The splices back, from the members as they were.
pub(super) fn restore(
    doc: &ConfigDoc<'_>,
    entry: &DocNode,
    program: &DocMember,
    args: &DocMember,
    members: &KeptMembers,
) -> Result<Vec<Splice>, SkipReason> {
    let Some(((_, url), others)) = members.split_first() else {
        return Err(SkipReason::Forgotten(address(args)));
    };
    let mut back = url.clone();
    let mut splices: Vec<_> = without_headers(doc, entry, members).into_iter().collect();
    for (key, raw) in others.iter().filter(|(key, _)| key != ENV) {
        match entry.member(key) {
            Some(member) => splices.push(Splice::replace(&member.span(), raw.as_str())),
            None => back.push_str(&format!("{}{raw}", between(doc, entry, program))),
        }
    }
    if adjacent(entry, program, args) {
        splices.push(Splice::replace(&(program.key_span.start..args.value.span.end), back));
    } else {
        splices.extend([Splice::replace(&program.span(), back), without(doc, entry, args)]);
    }
    Ok(splices)
}

/// Whether nothing stands between the two, as tapline wrote them.
fn adjacent(entry: &DocNode, program: &DocMember, args: &DocMember) -> bool {
    let between = program.value.span.end..args.key_span.start;
    let mut others = entry.members().unwrap_or_default().iter();
    program.value.span.end < args.key_span.start && !others.any(|other| between.contains(&other.key_span.start))
}

fn address(args: &DocMember) -> String {
    let words: Vec<_> = args.value.list().unwrap_or_default().iter().filter_map(DocNode::text).collect();
    let option = words.iter().position(|word| *word == "--upstream");
    option.and_then(|option| words.get(option + 1)).copied().unwrap_or_default().to_owned()
}
