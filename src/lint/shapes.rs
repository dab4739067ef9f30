//! The messages of the protocol against the shapes that their revision has (`assets/lint/protocol.shapes`).
//!
//! The protocol publishes JSON Schemas, but no package of a registry has them: of `@modelcontextprotocol/sdk`, `.../server` (npm),
//! `mcp` (PyPI) and `rust-mcp-schema` (crates.io) all have types made of them, in code. So these are typed models of our own, in a
//! notation that fits a method on a line. Compared member by member with the schemas in the specification's repository
//! (2026-08-22), in none of the five revisions they ask for a member that the schema does not ask for. They judge what must be there and of which type; members that no schema knows are nobody's
//! business, as revisions add some.

use foldhash::HashMap;
use std::borrow::Cow;
use std::fmt;
use std::sync::LazyLock;

use serde_json::{Map, Value};

use super::calls::UnansweredCall;
use super::catalogue::{PROTOCOL_SHAPE, RESULT_MEMBERS};
use super::found::{FindingSink, JudgedMessage, quoted};
use crate::mcp::era::{LEGACY_REVISIONS, MODERN_REVISIONS};
use crate::message::{Kind, Members, items_of, members_of};

static SHAPES: LazyLock<ShapeBook> =
    LazyLock::new(|| ShapeBook::read(include_str!("../../assets/lint/protocol.shapes")));

/// What a value has to be.
#[derive(Clone, Debug)]
enum ValueShape {
    Any,
    Text,
    Number,
    Integer,
    Boolean,
    Object,
    OneOf(Vec<String>),
    Either(Vec<Self>),
    List(Box<Self>),
    Map(Box<Self>),
    Members(Vec<MemberShape>),
    Tagged(String, Vec<(String, Span, Self)>),
    Both(Box<Self>, Box<Self>),
    Named(String),
}

/// A member of an object.
#[derive(Clone, Debug)]
struct MemberShape {
    key: String,
    is_needed: bool,
    span: Span,
    shape: ValueShape,
}

/// The revisions in which something holds, both ends included.
#[derive(Clone, Debug, Default)]
struct Span {
    from: Option<String>,
    to: Option<String>,
}

impl Span {
    fn is_always(&self) -> bool {
        self.from.is_none() && self.to.is_none()
    }

    fn has(&self, revision: &str) -> bool {
        self.from.as_ref().is_none_or(|from| &**from <= revision) && self.to.as_ref().is_none_or(|to| revision <= &**to)
    }
}

/// All shapes: by name, such as `Tool`, and those of `params` and of results by method.
#[derive(Debug, Default)]
struct ShapeBook {
    named: HashMap<String, ValueShape>,
    params: HashMap<String, ValueShape>,
    results: HashMap<String, ValueShape>,
}

/// Looks at a request or notification.
pub(super) fn check_params(judged: &JudgedMessage<'_>, out: &mut FindingSink) {
    let Some(method) = judged.message.method() else { return };
    // What needs no `params` may have none.
    check(SHAPES.params.get(method), judged.at(&["params"]).unwrap_or("{}"), ".params", judged, out);
}

/// A member of a result that every revision knows by this name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct KnownMember {
    /// The JSON pointer of its object, from the result on.
    pub(crate) object: String,
    pub(crate) key: String,
    /// Whether a result without it is wrong.
    pub(crate) is_needed: bool,
}

/// The members of a result of this method whose place and type no revision disputes; none where nothing is known of the method.
pub(crate) fn known_members(method: &str, result: &Value) -> Vec<KnownMember> {
    let mut found = Vec::new();
    if let Some(shape) = SHAPES.results.get(method) {
        collect_known(shape, result, "", &mut found);
    }
    found
}

fn collect_known(shape: &ValueShape, value: &Value, place: &str, found: &mut Vec<KnownMember>) {
    let known = |key: &str, is_needed| KnownMember { object: place.to_owned(), key: key.to_owned(), is_needed };
    match (shape, value) {
        (ValueShape::Named(name), _) => {
            SHAPES.named.get(name).iter().for_each(|shape| collect_known(shape, value, place, found));
        }
        (ValueShape::Both(one, other), _) => {
            [one, other].iter().for_each(|shape| collect_known(shape, value, place, found));
        }
        (ValueShape::List(inner), Value::Array(items)) => {
            items.iter().enumerate().for_each(|(at, item)| collect_known(inner, item, &format!("{place}/{at}"), found));
        }
        (ValueShape::Members(shapes), Value::Object(members)) => {
            for MemberShape { key, is_needed, shape, .. } in shapes.iter().filter(|it| it.span.is_always()) {
                if let Some(value) = members.get(key) {
                    found.push(known(key, *is_needed));
                    collect_known(shape, value, &format!("{place}/{key}"), found);
                }
            }
        }
        (ValueShape::Tagged(key, tags), Value::Object(members)) => {
            let tag = members.get(key).and_then(Value::as_str);
            if let Some((_, _, shape)) = tags.iter().find(|(known, ..)| Some(&**known) == tag) {
                found.push(known(key, true));
                collect_known(shape, value, place, found);
            }
        }
        _ => {}
    }
}

/// Looks at a reply.
pub(super) fn check_result(call: &UnansweredCall, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
    match judged.message.kind() {
        Kind::Result => {
            // A task, or questions, in place of the result that was asked for.
            let is_other = ["task", "inputRequests", "requestState"];
            if is_other.iter().all(|member| judged.at(&["result", member]).is_none()) {
                let result = judged.at(&["result"]).unwrap_or_default();
                check(SHAPES.results.get(&*call.method), result, ".result", judged, out);
            }
        }
        _ => check_error(judged, out),
    }
}

fn check_error(judged: &JudgedMessage<'_>, out: &mut FindingSink) {
    let error: Value = judged.at(&["error"]).and_then(|it| serde_json::from_str(it).ok()).unwrap_or_default();
    if !error["code"].is_i64() && !error["code"].is_u64() {
        out.report(&PROTOCOL_SHAPE, judged, "`.error.code` is not an integer".to_owned());
    }
    if !error["message"].is_string() {
        out.report(&PROTOCOL_SHAPE, judged, "`.error.message` is not a string".to_owned());
    }
}

fn check(shape: Option<&ValueShape>, text: &str, path: &str, judged: &JudgedMessage<'_>, out: &mut FindingSink) {
    let revision = &*judged.revision;
    if !LEGACY_REVISIONS.contains(&revision) && !MODERN_REVISIONS.contains(&revision) {
        return;
    }
    let Some(shape) = shape else { return };
    let mut fit = ShapeFit { revision, root: judged.inner(), wrong: Vec::new() };
    fit.check_text(shape, text, ShapePath::Root(path));
    for why in fit.wrong.into_iter().take(MOST_TOLD) {
        // Clients take an absent one for what it was before there were any (2026-07-28, basic: result type).
        let is_new = NEW_MEMBERS.iter().any(|member| why == format!("`.result.{member}` is missing"));
        out.report(if is_new { &RESULT_MEMBERS } else { &PROTOCOL_SHAPE }, judged, why);
    }
}

/// Members that results have from 2026-07-28 on.
const NEW_MEMBERS: [&str; 3] = ["resultType", "ttlMs", "cacheScope"];

/// A message that is wrong in more places is wrong as a whole.
const MOST_TOLD: usize = 5;

/// Where a value stands: put into words only where something is wrong with it.
#[derive(Clone, Copy)]
enum ShapePath<'a> {
    Root(&'a str),
    Member(&'a Self, &'a str),
    Item(&'a Self, usize),
}

impl fmt::Display for ShapePath<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Root(root) => f.write_str(root),
            Self::Member(of, name) => write!(f, "{of}.{name}"),
            Self::Item(of, at) => write!(f, "{of}[{at}]"),
        }
    }
}

impl ShapePath<'_> {
    fn quoted(&self) -> String {
        quoted(&self.to_string())
    }
}

/// A value on its way along a shape.
struct ShapeFit<'a> {
    revision: &'a str,
    /// The members of the text at its root, where they were read before.
    root: Option<&'a Members<'a>>,
    wrong: Vec<String>,
}

impl ShapeFit<'_> {
    /// Looks at JSON text, and reads no further into it than the shape asks for: most of a message is what nothing is said of.
    fn check_text(&mut self, shape: &ValueShape, text: &str, path: ShapePath<'_>) {
        match (shape, text.as_bytes().first()) {
            (ValueShape::Any, _)
            | (ValueShape::Text, Some(b'"'))
            | (ValueShape::Object, Some(b'{'))
            | (ValueShape::Boolean, Some(b't' | b'f')) => {}
            (ValueShape::Members(_) | ValueShape::Tagged(..), Some(b'{')) => match (self.root, path) {
                (Some(members), ShapePath::Root(_)) => self.check_members(shape, members, text, path),
                _ => drop(members_of(text).map(|members| self.check_members(shape, &members, text, path))),
            },
            (ValueShape::List(inner), Some(b'[')) => {
                for (at, item) in items_of(text).into_iter().enumerate() {
                    if self.wrong.len() < MOST_TOLD {
                        self.check_text(inner, item, ShapePath::Item(&path, at));
                    }
                }
            }
            (ValueShape::Both(one, other), _) => {
                self.check_text(one, text, path);
                self.check_text(other, text, path);
            }
            (ValueShape::Named(name), _) => {
                if let Some(shape) = SHAPES.named.get(name) {
                    self.check_text(shape, text, path);
                }
            }
            _ => {
                if let Ok(value) = serde_json::from_str(text) {
                    self.check(shape, &value, path);
                }
            }
        }
    }

    /// Looks at an object whose members, and whose text, are these.
    fn check_members(&mut self, shape: &ValueShape, members: &Members<'_>, text: &str, path: ShapePath<'_>) {
        let last = |key: &str| members.iter().rev().find(|(known, _)| known == key).map(|(_, value)| *value);
        match shape {
            ValueShape::Members(shapes) => {
                let revision = self.revision;
                for MemberShape { key, is_needed, shape, .. } in shapes.iter().filter(|it| it.span.has(revision)) {
                    let path = ShapePath::Member(&path, key);
                    match last(key) {
                        Some(value) if self.wrong.len() < MOST_TOLD => self.check_text(shape, value, path),
                        None if *is_needed => self.wrong.push(format!("{} is missing", path.quoted())),
                        _ => {}
                    }
                }
            }
            ValueShape::Tagged(key, tags) => {
                let tag: Option<Cow<'_, str>> = last(key).and_then(|tag| serde_json::from_str(tag).ok());
                if let Some(shape) = self.tagged((key, tag.as_deref()), tags, path) {
                    self.check_members(shape, members, text, path);
                }
            }
            ValueShape::Named(name) if SHAPES.named.contains_key(name) => {
                self.check_members(&SHAPES.named[name], members, text, path);
            }
            ValueShape::Both(one, other) => {
                self.check_members(one, members, text, path);
                self.check_members(other, members, text, path);
            }
            _ => self.check_text(shape, text, path),
        }
    }

    fn check(&mut self, shape: &ValueShape, value: &Value, path: ShapePath<'_>) {
        if self.wrong.len() >= MOST_TOLD {
            return;
        }
        match (shape, value) {
            (ValueShape::Any, _)
            | (ValueShape::Text, Value::String(_))
            | (ValueShape::Number, Value::Number(_))
            | (ValueShape::Boolean, Value::Bool(_))
            | (ValueShape::Object, Value::Object(_)) => {}
            (ValueShape::Integer, Value::Number(number)) if number.as_f64().is_some_and(|it| it.fract() == 0.0) => {}
            (ValueShape::OneOf(texts), Value::String(text)) if texts.contains(text) => {}
            (ValueShape::Either(shapes), value) if shapes.iter().any(|shape| self.fits(shape, value)) => {}
            (ValueShape::List(inner), Value::Array(values)) => {
                for (at, value) in values.iter().enumerate() {
                    self.check(inner, value, ShapePath::Item(&path, at));
                }
            }
            (ValueShape::Map(inner), Value::Object(members)) => {
                for (key, value) in members {
                    self.check(inner, value, ShapePath::Member(&path, key));
                }
            }
            (ValueShape::Members(shapes), Value::Object(members)) => self.members(shapes, members, path),
            (ValueShape::Tagged(key, tags), Value::Object(members)) => {
                let tag = members.get(key).and_then(Value::as_str);
                if let Some(shape) = self.tagged((key, tag), tags, path) {
                    self.check(shape, value, path);
                }
            }
            (ValueShape::Both(one, other), value) => {
                self.check(one, value, path);
                self.check(other, value, path);
            }
            (ValueShape::Named(name), value) => {
                if let Some(shape) = SHAPES.named.get(name) {
                    self.check(shape, value, path);
                }
            }
            (shape, value) => self.wrong.push(format!("{} is {}, not {}", path.quoted(), kind(value), shape.words())),
        }
    }

    fn fits(&self, shape: &ValueShape, value: &Value) -> bool {
        let mut fit = ShapeFit { revision: self.revision, root: None, wrong: Vec::new() };
        fit.check(shape, value, ShapePath::Root(""));
        fit.wrong.is_empty()
    }

    fn members(&mut self, shapes: &[MemberShape], members: &Map<String, Value>, path: ShapePath<'_>) {
        for MemberShape { key, is_needed, shape, .. } in shapes.iter().filter(|member| member.span.has(self.revision)) {
            let path = ShapePath::Member(&path, key);
            match members.get(key) {
                Some(value) => self.check(shape, value, path),
                None if *is_needed => self.wrong.push(format!("{} is missing", path.quoted())),
                None => {}
            }
        }
    }

    /// The shape that goes with a tag, which is the value of the member `key`.
    fn tagged<'s>(
        &mut self,
        (key, tag): (&str, Option<&str>),
        tags: &'s [(String, Span, ValueShape)],
        path: ShapePath<'_>,
    ) -> Option<&'s ValueShape> {
        let path = ShapePath::Member(&path, key);
        let Some(tag) = tag else {
            self.wrong.push(format!("{} is missing", path.quoted()));
            return None;
        };
        let known = tags.iter().find(|(known, span, _)| known == tag && span.has(self.revision));
        if known.is_none() {
            let which = quoted(tag);
            self.wrong.push(format!("{} is {which}, which {} does not have", path.quoted(), self.revision));
        }
        known.map(|(_, _, shape)| shape)
    }
}

fn kind(value: &Value) -> &'static str {
    match value {
        Value::Null => "null",
        Value::Bool(_) => "a boolean",
        Value::Number(number) if number.is_f64() => "a fraction",
        Value::Number(_) => "a number",
        Value::String(_) => "a string",
        Value::Array(_) => "an array",
        Value::Object(_) => "an object",
    }
}

impl ValueShape {
    fn words(&self) -> String {
        match self {
            Self::Any => "anything".to_owned(),
            Self::Text => "a string".to_owned(),
            Self::Number => "a number".to_owned(),
            Self::Integer => "an integer".to_owned(),
            Self::Boolean => "a boolean".to_owned(),
            Self::OneOf(texts) => format!("one of `{}`", texts.join("`, `")),
            Self::Either(shapes) => shapes.iter().map(Self::words).collect::<Vec<_>>().join(" or "),
            Self::List(_) => "an array".to_owned(),
            Self::Object | Self::Map(_) | Self::Members(_) | Self::Tagged(..) | Self::Both(..) | Self::Named(_) => {
                "an object".to_owned()
            }
        }
    }
}

impl ShapeBook {
    fn read(text: &str) -> Self {
        let lines = text.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty());
        lines.fold(Self::default(), |mut book, line| {
            let (name, shape) = line.split_once(" = ").expect("a shape has a name");
            let mut reader = ShapeReader(tokens(shape));
            let shape = reader.whole();
            assert!(reader.0.is_empty(), "{line}: {:?} is left", reader.0);
            let (shapes, name) = match name.split_once(' ') {
                Some(("params", method)) => (&mut book.params, method),
                Some(("result", method)) => (&mut book.results, method),
                _ => (&mut book.named, name),
            };
            shapes.insert(name.to_owned(), shape);
            book
        })
    }
}

/// The words and signs of a shape, the last one first.
fn tokens(text: &str) -> Vec<String> {
    let mut tokens = Vec::new();
    let mut word = String::new();
    for c in text.chars() {
        if " {}[]<>:,|+?=@\"".contains(c) {
            tokens.extend((!word.is_empty()).then(|| std::mem::take(&mut word)));
            tokens.extend((!" ".contains(c)).then(|| c.to_string()));
        } else {
            word.push(c);
        }
    }
    tokens.extend((!word.is_empty()).then_some(word));
    tokens.reverse();
    tokens
}

/// Reads the notation. It is ours, and a test reads all of it: what cannot be read ends the test.
struct ShapeReader(Vec<String>);

impl ShapeReader {
    fn eat(&mut self, sign: &str) -> bool {
        self.0.pop_if(|token| token == sign).is_some()
    }

    fn word(&mut self) -> String {
        self.0.pop().expect("a word follows")
    }

    fn whole(&mut self) -> ValueShape {
        let mut shape = self.either();
        while self.eat("+") {
            shape = ValueShape::Both(Box::new(shape), Box::new(self.either()));
        }
        shape
    }

    fn either(&mut self) -> ValueShape {
        let mut shapes = vec![self.one()];
        while self.eat("|") {
            shapes.push(self.one());
        }
        let texts: Vec<_> = shapes
            .iter()
            .filter_map(|it| if let ValueShape::OneOf(it) = it { Some(it.concat()) } else { None })
            .collect();
        match shapes.len() {
            count if count == texts.len() => ValueShape::OneOf(texts),
            1 => shapes.remove(0),
            _ => ValueShape::Either(shapes),
        }
    }

    fn one(&mut self) -> ValueShape {
        let word = self.word();
        match word.as_str() {
            "any" => ValueShape::Any,
            "string" => ValueShape::Text,
            "number" => ValueShape::Number,
            "integer" => ValueShape::Integer,
            "boolean" => ValueShape::Boolean,
            "object" => ValueShape::Object,
            "\"" => {
                let text = self.word();
                assert!(self.eat("\""), "{text} has no end");
                ValueShape::OneOf(vec![text])
            }
            "[" => {
                let inner = self.either();
                assert!(self.eat("]"), "a list has no end");
                ValueShape::List(Box::new(inner))
            }
            "{" => self.object(),
            "<" => self.tags(),
            _ => ValueShape::Named(word),
        }
    }

    fn object(&mut self) -> ValueShape {
        let is_map = self.0.len() < 2 || ![":", "?"].contains(&self.0[self.0.len() - 2].as_str());
        if is_map {
            let inner = self.either();
            assert!(self.eat("}"), "a map has no end");
            return ValueShape::Map(Box::new(inner));
        }
        let mut members = Vec::new();
        while !self.eat("}") {
            let key = self.word();
            let is_needed = !self.eat("?");
            assert!(self.eat(":"), "`{key}` has no kind");
            let shape = self.either();
            members.push(MemberShape { key, is_needed, shape, span: self.span() });
            self.eat(",");
        }
        ValueShape::Members(members)
    }

    fn tags(&mut self) -> ValueShape {
        let key = self.word();
        assert!(self.eat(":"), "`{key}` has no tags");
        let mut tags = Vec::new();
        while !self.eat(">") {
            let tag = self.word();
            assert!(self.eat("="), "`{tag}` has no shape");
            let shape = ValueShape::Named(self.word());
            tags.push((tag, self.span(), shape));
        }
        ValueShape::Tagged(key, tags)
    }

    fn span(&mut self) -> Span {
        if !self.eat("@") {
            return Span::default();
        }
        let word = self.word();
        let (from, to) = word.split_once("..").expect("a span of revisions has two ends");
        let end = |end: &str| (!end.is_empty()).then(|| end.to_owned());
        Span { from: end(from), to: end(to) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shape_of(name: &str) -> &'static ValueShape {
        match name.split_once(' ') {
            Some(("params", method)) => &SHAPES.params[method],
            Some((_, method)) => &SHAPES.results[method],
            None => &SHAPES.named[name],
        }
    }

    fn wrong(name: &str, revision: &str, value: &str) -> Vec<String> {
        let mut fit = ShapeFit { revision, root: None, wrong: Vec::new() };
        fit.check(shape_of(name), &serde_json::from_str(value).unwrap(), ShapePath::Root(""));
        fit.wrong
    }

    #[test]
    fn shapes_are_read_and_refer_to_each_other() {
        fn names(shape: &ValueShape, found: &mut Vec<String>) {
            match shape {
                ValueShape::Named(name) => found.push(name.clone()),
                ValueShape::List(inner) | ValueShape::Map(inner) => names(inner, found),
                ValueShape::Either(shapes) => shapes.iter().for_each(|shape| names(shape, found)),
                ValueShape::Members(members) => members.iter().for_each(|member| names(&member.shape, found)),
                ValueShape::Tagged(_, tags) => tags.iter().for_each(|(_, _, shape)| names(shape, found)),
                ValueShape::Both(one, other) => [one, other].into_iter().for_each(|shape| names(shape, found)),
                _ => {}
            }
        }
        let mut found = Vec::new();
        let all = || SHAPES.named.values().chain(SHAPES.params.values()).chain(SHAPES.results.values());
        all().for_each(|shape| names(shape, &mut found));
        assert!(all().count() > 60 && found.len() > 60, "{} {}", all().count(), found.len());
        for name in found {
            assert!(SHAPES.named.contains_key(&name), "there is no shape `{name}`");
        }
    }

    #[test]
    fn shape_says_where_and_why() {
        assert_eq!(wrong("Peer", "2025-11-25", r#"{"name":"a","version":"1"}"#), [""; 0]);
        assert_eq!(
            wrong("Peer", "2025-11-25", r#"{"name":1}"#),
            ["`.name` is a number, not a string", "`.version` is missing"]
        );
        let content = |text: &str, revision: &str| wrong("result tools/call", revision, text);
        assert_eq!(content(r#"{"content":[{"type":"text"}]}"#, "2025-11-25"), ["`.content[0].text` is missing"]);
        let audio = r#"{"content":[{"type":"audio","data":"","mimeType":"a/b"}]}"#;
        assert_eq!(content(audio, "2024-11-05"), ["`.content[0].type` is `audio`, which 2024-11-05 does not have"]);
        assert_eq!(content(audio, "2025-03-26"), [""; 0]);
        assert_eq!(content(r#"{"content":[]}"#, "2026-07-28"), ["`.resultType` is missing"]);
        let level = r#"{"level":"verbose","data":null}"#;
        assert_eq!(wrong("params notifications/message", "2025-11-25", level).len(), 1);
        assert_eq!(wrong("params notifications/cancelled", "2025-11-25", r#"{"requestId":1.0}"#), [""; 0]);
        assert_eq!(
            wrong("params notifications/cancelled", "2025-11-25", r#"{"requestId":[]}"#),
            ["`.requestId` is an array, not a string or an integer"]
        );
    }
}
