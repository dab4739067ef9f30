//! Which of several upstreams a request is for: each has a [`SessionTable`] of its own, is reached at `/<name>/mcp`, and one of
//! them at `/mcp` as well.
//!
//! Owns names and prefixes. What a path means below a mount is the front door's to say: the same as at the root. An
//! upstream is not spoken to, and no command started, before its first client comes.

use std::borrow::Cow;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use futures_util::future::join_all;
use http::Uri;
use parking_lot::RwLock;
use rustix::process::Signal;

use crate::envelope::SessionId;
use crate::event::{Level, LogLine};
use crate::message::Message;
use crate::proxy::Proxy;
use crate::proxy::exchange::Connection;
use crate::proxy::paths::{ENDPOINT, MESSAGES, STREAM};
use crate::proxy::sessions::SessionTable;
use crate::proxy::stream::rewind::SessionRewind;
use crate::upstream::target::Target;

/// Where clients look for what is said of an endpoint: its path stands behind that of the document (RFC 8615, RFC 9728
/// section 3.1).
const WELL_KNOWN: &str = "/.well-known/";

/// Longest name of an upstream, in bytes.
const LONGEST_NAME: usize = 64;

/// An upstream, and where it is to be reached.
#[derive(Clone)]
pub struct MountSpec {
    /// The name of the upstream, which is served at `/<name>/mcp` as well.
    pub name: Option<String>,
    /// At `/mcp`: one at the most.
    pub is_default: bool,
    pub target: Target,
}

impl MountSpec {
    /// The only upstream, without a name.
    pub fn sole(target: Target) -> Self {
        Self { name: None, is_default: true, target }
    }
}

/// Why upstreams cannot stand beside each other.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum MountError {
    #[error("no upstream")]
    Nothing,
    #[error("two upstreams are to be at `/mcp`")]
    TwoDefaults,
    #[error("an upstream without a name must be the one at `/mcp`")]
    Unreachable,
    #[error("two upstreams are called `{0}`")]
    SameName(String),
    #[error("no upstream can be called `{name}`: {why}")]
    BadName { name: String, why: &'static str },
}

/// Whether an upstream can have this name, which is a segment of a path.
///
/// # Errors
/// [`MountError::BadName`].
pub fn check_name(name: &str) -> Result<(), MountError> {
    let is_ours = [ENDPOINT, STREAM, MESSAGES].iter().any(|path| path[1..] == *name);
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_' | b'.'));
    let why = match name {
        "" => "a name has a letter at least",
        _ if !is_plain => "a name is of letters, digits, `-`, `_` and `.`",
        _ if name.starts_with('.') => "a name does not begin with a dot",
        _ if name.len() > LONGEST_NAME => "a name has 64 letters at the most",
        _ if is_ours => "that path is tapline's own",
        _ => return Ok(()),
    };
    Err(MountError::BadName { name: name.to_owned(), why })
}

/// What was warned of already: once for all sessions of an upstream is enough.
#[derive(Default)]
pub(in crate::proxy) struct MountWarnings {
    pub(in crate::proxy) needs_token: AtomicBool,
}

/// One upstream in its place.
pub struct Mount {
    name: Option<String>,
    /// `/<name>`; empty without a name.
    prefix: String,
    table: Arc<SessionTable>,
    pub(in crate::proxy) warnings: MountWarnings,
}

impl Mount {
    fn new(proxy: Arc<Proxy>, MountSpec { name, target, .. }: MountSpec) -> Self {
        let prefix = name.as_ref().map_or_else(String::new, |name| format!("/{name}"));
        Self {
            table: SessionTable::named(proxy, name.clone(), target),
            name,
            prefix,
            warnings: MountWarnings::default(),
        }
    }

    /// Returns the upstream's name in paths and in the configuration; `None` where it is the only one.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Returns the URL at which clients of this upstream connect.
    pub fn url(&self, address: SocketAddr) -> String {
        format!("http://{address}{}{ENDPOINT}", self.prefix)
    }

    /// Returns the sessions of the upstream.
    pub fn table(&self) -> &Arc<SessionTable> {
        &self.table
    }
}

/// The way a request came in: a mount, by its name or at the root.
#[derive(Clone, Copy)]
pub(in crate::proxy) struct MatchedMount<'a> {
    pub(in crate::proxy) mount: &'a Mount,
    /// What stands before a path of the upstream here: `/<name>`, or nothing at the root.
    pub(in crate::proxy) prefix: &'a str,
}

/// All upstreams, the owner of all tables.
pub struct Mounts {
    proxy: Arc<Proxy>,
    mounts: Vec<Mount>,
    /// The one at `/mcp`.
    default: Option<usize>,
    /// Sessions of servers that are reached at addresses of their own.
    beside: RwLock<Vec<Arc<SessionTable>>>,
}

impl Mounts {
    /// # Errors
    /// Where two want the same place, or one none.
    pub fn new(proxy: Arc<Proxy>, upstreams: Vec<MountSpec>) -> Result<Arc<Self>, MountError> {
        check(&upstreams)?;
        let default = upstreams.iter().position(|it| it.is_default);
        let mounts = upstreams.into_iter().map(|it| Mount::new(proxy.clone(), it)).collect();
        Ok(Arc::new(Self { proxy, mounts, default, beside: RwLock::default() }))
    }

    /// What is to be reached at an address of its own, behind the same spine. Its sessions are found here, until it is let go; they say
    /// by this name that they are of no upstream of ours.
    pub fn beside(&self, name: &str, target: Target) -> Arc<Self> {
        let table = SessionTable::named(self.proxy.clone(), Some(name.to_owned()), target);
        self.beside.write().push(table.clone());
        let mount = Mount { name: None, prefix: String::new(), table, warnings: MountWarnings::default() };
        Arc::new(Self { proxy: self.proxy.clone(), mounts: vec![mount], default: Some(0), beside: RwLock::default() })
    }

    /// Lets go of what was reached at an address of its own.
    pub fn let_go(&self, other: &Self) {
        let is_of = |table: &Arc<SessionTable>| other.mounts.iter().any(|mount| Arc::ptr_eq(&mount.table, table));
        self.beside.write().retain(|table| !is_of(table));
    }

    fn tables(&self) -> Vec<Arc<SessionTable>> {
        let beside = self.beside.read();
        self.mounts.iter().map(|mount| &mount.table).chain(beside.iter()).cloned().collect()
    }

    fn table_of(&self, session: SessionId) -> Option<Arc<SessionTable>> {
        self.tables().into_iter().find(|table| table.find(session).is_some())
    }

    /// The spine that all of them share.
    pub fn proxy(&self) -> &Arc<Proxy> {
        &self.proxy
    }

    /// The upstream at `/mcp`.
    pub fn default(&self) -> Option<&Mount> {
        self.default.map(|at| &self.mounts[at])
    }

    /// All upstreams, in the order of the file.
    pub fn iter(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter()
    }

    /// The live session of that id.
    pub fn find(&self, session: SessionId) -> Option<Arc<Connection>> {
        self.tables().iter().find_map(|table| table.find(session))
    }

    /// The connections of all sessions that are in memory.
    pub fn live(&self) -> Vec<Arc<Connection>> {
        self.tables().iter().flat_map(|table| table.live()).collect()
    }

    /// Restarts the server of a session.
    pub fn restart(&self, session: SessionId, why: &str) {
        match self.table_of(session) {
            Some(table) => table.restart(session, why),
            None => {
                let text = "the server is not restarted: its session has ended";
                self.proxy.log(LogLine::new(Level::Warn, "proxy", text).of(session));
            }
        }
    }

    /// Takes a session back behind its client.
    ///
    /// # Errors
    /// Where that cannot be: in words.
    pub fn rewind(&self, session: SessionId, rewind: SessionRewind) -> Result<(), &'static str> {
        self.table_of(session).ok_or("its session has ended")?.rewind(session, rewind)
    }

    /// Sends a signal to the server of a session.
    ///
    /// # Errors
    /// Where that cannot be: in words.
    pub fn signal(&self, session: SessionId, signal: Signal) -> Result<(), &'static str> {
        self.table_of(session).ok_or("its session has ended")?.signal(session, signal)
    }

    /// Tells the client of a session something in the name of its server.
    ///
    /// # Errors
    /// Where that cannot be: in words.
    pub fn speak(&self, session: SessionId, message: Message) -> Result<(), &'static str> {
        self.table_of(session).ok_or("its session has ended")?.speak(session, message)
    }

    /// Ends the children that belong to no session.
    pub async fn close_spares(&self) {
        let tables = self.tables();
        join_all(tables.iter().map(|table| table.close_spares())).await;
    }

    /// Ends a session, wherever it is.
    pub async fn close(&self, session: SessionId, reason: &str) {
        if let Some(table) = self.table_of(session) {
            table.close(session, reason).await;
        }
    }

    /// Ends a session as far as this tapline is concerned; the next may go on with it.
    pub async fn suspend(&self, session: SessionId, reason: &str) {
        if let Some(table) = self.table_of(session) {
            table.suspend(session, reason).await;
        }
    }

    /// What stands behind us, in a few words.
    pub fn label(&self) -> String {
        self.summary(|target| target.label().to_string())
    }

    /// What stands behind us in a few words, and its transport where that is not what everybody expects.
    pub fn description(&self) -> String {
        self.summary(Target::description)
    }

    fn summary(&self, one: fn(&Target) -> String) -> String {
        match &self.mounts[..] {
            [mount] => one(mount.table.target()),
            mounts => {
                let names: Vec<_> = mounts.iter().map(|mount| mount.name().unwrap_or("the default")).collect();
                format!("{} upstreams: {}", mounts.len(), names.join(", "))
            }
        }
    }

    /// Returns the URL at which clients connect.
    pub fn url(&self, address: SocketAddr) -> String {
        let place = if self.default.is_some() { "" } else { "/<name>" };
        format!("http://{address}{place}{ENDPOINT}")
    }

    /// The paths of all endpoints.
    pub(in crate::proxy) fn endpoints(&self) -> Vec<String> {
        let prefixes = self.default.iter().map(|_| "").chain(self.named().map(|mount| mount.prefix.as_str()));
        prefixes.map(|prefix| format!("{prefix}{ENDPOINT}")).collect()
    }

    /// Where a request goes in, and what its path and query are there. `None` where no upstream has that name.
    pub(in crate::proxy) fn entry<'a>(&self, uri: &'a Uri) -> Option<(MatchedMount<'_>, Cow<'a, str>)> {
        let whole = uri.path_and_query().map_or(uri.path(), http::uri::PathAndQuery::as_str);
        let named = self.named().find_map(|mount| Some((mount.by_name(), below(whole, &mount.prefix)?)));
        named.or_else(|| {
            let mount = self.default()?;
            let is_misspelt = self.named().next().is_some() && is_below_a_name(uri.path(), mount.table.target());
            if is_misspelt { None } else { Some((MatchedMount { mount, prefix: "" }, Cow::Borrowed(whole))) }
        })
    }

    fn named(&self) -> impl Iterator<Item = &Mount> {
        self.mounts.iter().filter(|mount| mount.name.is_some())
    }
}

impl Mount {
    fn by_name(&self) -> MatchedMount<'_> {
        MatchedMount { mount: self, prefix: &self.prefix }
    }
}

fn check(upstreams: &[MountSpec]) -> Result<(), MountError> {
    match upstreams.iter().filter(|it| it.is_default).count() {
        _ if upstreams.is_empty() => return Err(MountError::Nothing),
        0 | 1 => {}
        _ => return Err(MountError::TwoDefaults),
    }
    for (at, MountSpec { name, is_default, .. }) in upstreams.iter().enumerate() {
        match name {
            Some(name) if upstreams[..at].iter().any(|other| other.name.as_ref() == Some(name)) => {
                return Err(MountError::SameName(name.clone()));
            }
            Some(name) => check_name(name)?,
            None if *is_default => {}
            None => return Err(MountError::Unreachable),
        }
    }
    Ok(())
}

/// Returns a path and query without `prefix`, where it has that prefix. A prefix may also stand inside: behind the name of a well-known
/// document.
fn below<'a>(path_and_query: &'a str, prefix: &str) -> Option<Cow<'a, str>> {
    let behind =
        |text: &'a str| text.strip_prefix(prefix).filter(|rest| rest.is_empty() || rest.starts_with(['/', '?']));
    if let Some(rest) = behind(path_and_query) {
        return Some(if rest.starts_with('/') { Cow::Borrowed(rest) } else { Cow::Owned(format!("/{rest}")) });
    }
    let document = path_and_query.strip_prefix(WELL_KNOWN)?;
    let (document, rest) = document.split_at(document.find('/')?);
    Some(Cow::Owned(format!("{WELL_KNOWN}{document}{}", behind(rest)?)))
}

/// Whether a path reads as that of an upstream's endpoint, and is not the endpoint of this one.
fn is_below_a_name(path: &str, target: &Target) -> bool {
    let mut segments = path.split('/').skip(2);
    let endpoint = (segments.next(), segments.next());
    let reads_so = [ENDPOINT, STREAM].iter().any(|it| endpoint == (Some(&it[1..]), None));
    reads_so && target.site().is_none_or(|site| site.path() != path)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn below_returns_the_path_without_the_prefix() {
        for (path, expected) in [
            ("/a/mcp", Some("/mcp")),
            ("/a/mcp?x=%20", Some("/mcp?x=%20")),
            ("/a/", Some("/")),
            ("/a", Some("/")),
            ("/a?x", Some("/?x")),
            ("/a//b", Some("//b")),
            ("/ab/mcp", None),
            ("/b/a/mcp", None),
            ("/", None),
            ("/.well-known/oauth-protected-resource/a/mcp", Some("/.well-known/oauth-protected-resource/mcp")),
            ("/.well-known/openid-configuration/a?x", Some("/.well-known/openid-configuration?x")),
            ("/.well-known/openid-configuration", None),
            ("/.well-known/a", None),
            ("/.well-known/x/ab/mcp", None),
            ("/a/.well-known/x/y", Some("/.well-known/x/y")),
        ] {
            assert_eq!(below(path, "/a").as_deref(), expected, "{path}");
        }
    }

    #[test]
    fn check_name_takes_path_segments_that_are_not_ours() {
        for name in ["a", "GitHub", "x-1.2_3", &"a".repeat(64)] {
            assert_eq!(check_name(name), Ok(()), "{name}");
        }
        for name in ["", "mcp", "sse", "message", ".well-known", "..", "a/b", "a b", "ä", "a%20", &"a".repeat(65)] {
            assert!(matches!(check_name(name), Err(MountError::BadName { .. })), "{name}");
        }
    }
}
