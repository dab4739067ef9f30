//! What a message needs, decided on what the server will read.
//!
//! Decoders of JSON differ: of a member that stands twice some take the first and some the last, and some take `Method`, `PARAMS` or
//! `na_me` for the member they look for. So what decides (`method`, and of a call `params` and its `name`) must stand once, as text,
//! and in the one spelling that all decoders read alike; whatever else could be taken for it is refused. Then there is one reading
//! only, and it is the one that was decided on.

use super::error::Denied;
use super::section::{Requirement, ScopeName};
use super::{Auth, Identity};
use crate::mcp::method;
use crate::message::{Kind, Members, Message, read_members};

impl Auth {
    /// Whether anything needs a scope.
    pub fn has_rules(&self) -> bool {
        !self.require.is_empty()
    }

    /// Whether a client may ask for that.
    ///
    /// # Errors
    /// Where it lacks a scope, or servers might read other things in the message.
    pub fn permit(&self, identity: &Identity, message: &Message) -> Result<(), Denied> {
        if !self.has_rules() {
            return Ok(());
        }
        match message.kind() {
            Kind::Batch => message.elements().iter().try_for_each(|element| self.permit_one(identity, element)),
            _ => self.permit_one(identity, message),
        }
    }

    fn permit_one(&self, identity: &Identity, message: &Message) -> Result<(), Denied> {
        let looks_at_tools = self.require.iter().any(|requirement| requirement.tool.is_some());
        if !reads_one_way(message, looks_at_tools) {
            return Err(Denied::Unclear);
        }
        let concerned = self.require.iter().filter(|requirement| requirement.concerns(message));
        let needed = concerned.flat_map(|requirement| &requirement.scopes).cloned().collect::<Vec<_>>();
        if needed.iter().all(|scope| identity.has(scope.as_str())) {
            return Ok(());
        }
        let (method, name) = (message.method().unwrap_or_default(), message.name());
        let what = name.map_or_else(|| format!("`{method}`"), |name| format!("`{method}` of `{name}`"));
        Err(Denied::lacks_scope(what, needed.iter().map(ScopeName::as_str)))
    }
}

impl Requirement {
    fn concerns(&self, message: &Message) -> bool {
        let Some(method) = message.method() else { return false };
        let tool = message.name().filter(|_| method == method::TOOLS_CALL);
        self.method.as_ref().is_none_or(|glob| glob.matches(method))
            && self.tool.as_ref().is_none_or(|glob| tool.is_some_and(|tool| glob.matches(tool)))
    }
}

/// Whether every decoder reads the same method, and the same tool where `looks_at_tools`.
fn reads_one_way(message: &Message, looks_at_tools: bool) -> bool {
    if message.head().flaw.is_some() {
        return false;
    }
    let Some(members) = read_members(message.raw()) else { return false };
    let is_text = |value: Option<&str>| value.is_some_and(reads_as_one_text);
    if !stands_once(&members, "method") || message.method().is_some() && !is_text(value(&members, "method")) {
        return false;
    }
    if !looks_at_tools || message.method() != Some(method::TOOLS_CALL) {
        return true;
    }
    let Some(params) = value(&members, "params").filter(|_| stands_once(&members, "params")) else { return false };
    let params = read_members(params.as_bytes());
    params.is_some_and(|params| stands_once(&params, "name") && is_text(value(&params, "name")))
}

/// Whether a value is a text that all decoders read alike: some put another character in the place of half of one, some end it at a zero
/// byte, and some take off what stands around it.
fn reads_as_one_text(value: &str) -> bool {
    let text = serde_json::from_str::<String>(value);
    text.is_ok_and(|text| text.trim() == text && !text.contains(char::is_control))
}

fn value<'a>(members: &Members<'a>, name: &str) -> Option<&'a str> {
    members.iter().find(|(key, _)| key == name).map(|(_, value)| *value)
}

/// Whether nothing but a member of that very name could be taken for it, and that one does not stand twice.
fn stands_once(members: &Members<'_>, name: &str) -> bool {
    let mut alike = members.iter().filter(|(key, _)| folded(key) == name);
    alike.next().is_none_or(|(key, _)| key == name) && alike.next().is_none()
}

/// A key as the most lenient decoder compares it: without case, separators and what stands behind a zero byte.
fn folded(key: &str) -> String {
    let read = key.split('\0').next().unwrap_or_default().chars();
    let letters = read.filter(|c| c.is_alphanumeric());
    // Up and down again: the long s and the Kelvin sign are letters as any.
    letters.flat_map(char::to_uppercase).flat_map(char::to_lowercase).collect()
}
