//! A JSON Schema as a peer advertised it: compiled once, never fetched.
//!
//! A schema that does not compile, asks for another document, or recurses is a finding of its own, and nothing is judged by it.

use std::fmt;
use std::num::NonZeroUsize;
use std::sync::{Arc, LazyLock};

use jsonschema::{Draft, Validator};
use lru::LruCache;
use parking_lot::Mutex;
use serde_json::Value;

use super::found::quoted;

/// Schemas that are kept compiled, for all sessions: those of one server have the same.
const MOST_COMPILED: NonZeroUsize = NonZeroUsize::new(512).expect("it is not zero");
/// Larger ones are compiled for each session.
const LARGEST_SHARED: usize = 64 << 10;
/// References that follow one another; more are as good as recursion.
const DEEPEST: usize = 200;
/// The first revision that says which dialect a schema has that names none (2025-11-25, basic: JSON Schema usage).
const FIRST_WITH_DIALECT: &str = "2025-11-25";

/// What came of a schema.
#[derive(Debug)]
pub(crate) enum CompiledSchema {
    Ready(Box<Validator>),
    /// It is no schema, and why.
    Broken(String),
    /// It asks for another document.
    Remote(String),
    Recursive,
}

/// What does not fit a schema: where, as a JSON pointer, and why.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct SchemaMisfit {
    pub(crate) pointer: String,
    pub(crate) why: String,
}

impl fmt::Display for SchemaMisfit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !self.pointer.is_empty() {
            write!(f, "at {}: ", quoted(&self.pointer))?;
        }
        f.write_str(&self.why)
    }
}

type SharedSchemas = LruCache<(Box<str>, bool), Arc<CompiledSchema>>;

static COMPILED: LazyLock<Mutex<SharedSchemas>> = LazyLock::new(|| Mutex::new(LruCache::new(MOST_COMPILED)));

impl CompiledSchema {
    /// Compiles a schema from its JSON text. `revision`: that of the session in which it was advertised.
    pub(crate) fn of(text: &str, revision: &str) -> Arc<Self> {
        let has_dialect = revision >= FIRST_WITH_DIALECT;
        let compile =
            || Arc::new(serde_json::from_str(text).map_or_else(broken, |schema| compiled(&schema, has_dialect)));
        if text.len() > LARGEST_SHARED {
            return compile();
        }
        // It is compiled outside the lock: twice now and then is better than that others wait.
        let key = (text.into(), has_dialect);
        if let Some(known) = COMPILED.lock().get(&key) {
            return known.clone();
        }
        let compiled = compile();
        COMPILED.lock().put(key, compiled.clone());
        compiled
    }

    /// The first thing in a value that does not fit; `None` where all does, or that cannot be told.
    pub(super) fn misfit(&self, value: &Value) -> Option<String> {
        self.misfits(value, 1)?.pop().map(|misfit| misfit.to_string())
    }

    /// The first things in a value that do not fit, so many at most; `None` where that cannot be told.
    pub(crate) fn misfits(&self, value: &Value, most: usize) -> Option<Vec<SchemaMisfit>> {
        let Self::Ready(validator) = self else { return None };
        let errors = validator.iter_errors(value).take(most);
        let misfits = errors.map(|error| SchemaMisfit {
            pointer: error.instance_path().to_string(),
            why: shortened(&error.to_string()),
        });
        Some(misfits.collect())
    }
}

fn broken(why: impl fmt::Display) -> CompiledSchema {
    CompiledSchema::Broken(shortened(&why.to_string()))
}

fn shortened(text: &str) -> String {
    match text.char_indices().nth(240) {
        Some((end, _)) => format!("{}..", &text[..end]),
        None => text.to_owned(),
    }
}

fn compiled(schema: &Value, has_dialect: bool) -> CompiledSchema {
    if let Some(remote) = remote_reference(schema) {
        return CompiledSchema::Remote(remote);
    }
    if is_recursive(schema) {
        return CompiledSchema::Recursive;
    }
    let build = |draft: Draft| jsonschema::options().with_draft(draft).build(schema);
    let names_dialect = schema.get("$schema").is_some();
    let built = match names_dialect {
        true => jsonschema::options().build(schema),
        false if has_dialect => build(Draft::Draft202012),
        // It names no dialect: one in which it is a schema is as good as another.
        false => build(Draft::Draft202012).or_else(|error| build(Draft::Draft7).map_err(|_| error)),
    };
    built.map_or_else(broken, |validator| CompiledSchema::Ready(Box::new(validator)))
}

/// Members whose values are data, not schemas.
const DATA: [&str; 5] = ["const", "default", "enum", "example", "examples"];

/// Calls for every object that may be a schema, with what it has.
fn visit_schemas<'a>(value: &'a Value, visit: &mut impl FnMut(&'a serde_json::Map<String, Value>)) {
    match value {
        Value::Object(members) => {
            visit(members);
            let schemas = members.iter().filter(|(key, _)| !DATA.contains(&key.as_str()));
            schemas.for_each(|(_, value)| visit_schemas(value, visit));
        }
        Value::Array(values) => values.iter().for_each(|value| visit_schemas(value, visit)),
        _ => {}
    }
}

/// A reference to another document, which may be anywhere: the first.
fn remote_reference(schema: &Value) -> Option<String> {
    let (mut ids, mut references) = (Vec::new(), Vec::new());
    visit_schemas(schema, &mut |members| {
        ids.extend(["$id", "id"].iter().filter_map(|key| members.get(*key)?.as_str()));
        references.extend(["$ref", "$dynamicRef"].iter().filter_map(|key| members.get(*key)?.as_str()));
    });
    let is_remote = |reference: &&str| {
        let document = reference.split('#').next().unwrap_or_default();
        !document.is_empty() && !ids.iter().any(|id| id.trim_end_matches('#').ends_with(document))
    };
    references.into_iter().find(is_remote).map(str::to_owned)
}

/// Whether a schema refers to itself, by whatever way.
fn is_recursive(schema: &Value) -> bool {
    let (mut open, mut done) = (vec![""], Vec::new());
    recurses(schema, schema, &mut open, &mut done)
}

fn recurses<'a>(root: &'a Value, value: &'a Value, open: &mut Vec<&'a str>, done: &mut Vec<&'a str>) -> bool {
    let mut references = Vec::new();
    visit_schemas(value, &mut |members| {
        let local = members.get("$ref").and_then(Value::as_str).and_then(|it| it.strip_prefix('#'));
        references.extend(local.filter(|pointer| pointer.is_empty() || pointer.starts_with('/')));
    });
    for pointer in references {
        if open.contains(&pointer) || open.len() > DEEPEST {
            return true;
        }
        let Some(target) = root.pointer(pointer).filter(|_| !done.contains(&pointer)) else { continue };
        open.push(pointer);
        if recurses(root, target, open, done) {
            return true;
        }
        done.extend(open.pop());
    }
    false
}

/// The first pattern of a schema that is no regular expression of ECMAScript with its `u` flag, which is what validators in JavaScript
/// read it as.
pub(super) fn foreign_pattern(schema: &Value) -> Option<String> {
    let mut found = None;
    visit_schemas(schema, &mut |members| {
        let pattern = members.get("pattern").and_then(Value::as_str).filter(|it| !is_ecma_pattern(it));
        found = found.take().or(pattern.map(str::to_owned));
    });
    found
}

fn is_ecma_pattern(pattern: &str) -> bool {
    let mut chars = pattern.chars().peekable();
    let mut in_class = false;
    while let Some(c) = chars.next() {
        match c {
            '\\' => match chars.next() {
                Some('-') if in_class => {}
                Some(c) if "dDwWsSbBfnrtv0123456789cxukpP^$\\.*+?()[]{}|/".contains(c) => {}
                _ => return false,
            },
            '[' if !in_class => in_class = true,
            ']' if in_class => in_class = false,
            '(' if !in_class && chars.peek() == Some(&'?') => {
                chars.next();
                if !chars.peek().is_some_and(|c| ":=!<".contains(*c)) {
                    return false;
                }
            }
            _ => {}
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;

    fn schema(text: &str) -> Arc<CompiledSchema> {
        CompiledSchema::of(text, "2025-11-25")
    }

    #[test]
    fn schema_that_asks_for_another_document_is_not_fetched() {
        for text in [
            r#"{"type":"object","properties":{"a":{"$ref":"https://example.com/a.json"}}}"#,
            r#"{"anyOf":[{"$ref":"file:///etc/passwd"}]}"#,
            r#"{"$ref":"other.json#/definitions/a"}"#,
        ] {
            assert!(matches!(&*schema(text), CompiledSchema::Remote(_)), "{text}");
        }
        for text in [
            r##"{"$defs":{"a":{"type":"string"}},"properties":{"a":{"$ref":"#/$defs/a"}}}"##,
            r#"{"$id":"https://example.com/a.json","$defs":{"b":{"$id":"b.json","type":"string"}},"$ref":"b.json"}"#,
            r#"{"properties":{"a":{"default":{"$ref":"https://example.com"}}}}"#,
        ] {
            assert!(matches!(&*schema(text), CompiledSchema::Ready(_)), "{text}: {:?}", schema(text));
        }
    }

    #[test]
    fn schema_that_recurses_is_judged_by_nobody() {
        for text in [
            r##"{"properties":{"children":{"items":{"$ref":"#"}}}}"##,
            r##"{"$ref":"#/$defs/a","$defs":{"a":{"$ref":"#/$defs/b"},"b":{"$ref":"#/$defs/a"}}}"##,
        ] {
            assert!(matches!(&*schema(text), CompiledSchema::Recursive), "{text}");
            assert_eq!(schema(text).misfit(&Value::Null), None);
        }
        let twice =
            r##"{"$defs":{"a":{"type":"string"}},"properties":{"a":{"$ref":"#/$defs/a"},"b":{"$ref":"#/$defs/a"}}}"##;
        assert!(matches!(&*schema(twice), CompiledSchema::Ready(_)));
    }

    #[test]
    fn schema_has_the_dialect_that_it_says_or_the_revision() {
        let items = r#"{"type":"array","items":[{"type":"string"}]}"#;
        assert!(matches!(&*schema(items), CompiledSchema::Broken(_)));
        assert!(matches!(&*CompiledSchema::of(items, "2025-06-18"), CompiledSchema::Ready(_)));
        let said =
            r#"{"$schema":"http://json-schema.org/draft-07/schema#","type":"array","items":[{"type":"string"}]}"#;
        assert!(schema(said).misfit(&serde_json::json!([1])).is_some());
        assert!(matches!(&*schema(r#"{"type":"strin"}"#), CompiledSchema::Broken(_)));
        assert!(matches!(&*schema(r#"{"$schema":"https://example.com/mine"}"#), CompiledSchema::Broken(_)));
    }

    #[test]
    fn misfit_says_where_and_why() {
        let schema = schema(r#"{"type":"object","properties":{"n":{"type":"number"}},"required":["n"]}"#);
        assert_eq!(schema.misfit(&serde_json::json!({"n": 1})), None);
        let why = schema.misfit(&serde_json::json!({"n": "x"})).unwrap();
        assert_eq!(why, r#"at `/n`: "x" is not of type "number""#);
        assert_eq!(schema.misfit(&serde_json::json!({})).unwrap(), r#""n" is a required property"#);
    }

    #[test]
    fn patterns_are_those_of_javascript() {
        for pattern in [r"^[\w\-.]+$", r"\d{4}-\d{2}", r"(?<year>\d+)", r"^(?!x)(?:a|b)\/$", r"\p{L}+"] {
            assert!(is_ecma_pattern(pattern), "{pattern}");
        }
        for pattern in [r"(?i)abc", r"abc\Z", r"\Aabc", r"(?P<a>x)", r"\d\-\d", r"a\_b", r"\"] {
            assert!(!is_ecma_pattern(pattern), "{pattern}");
        }
    }
}
