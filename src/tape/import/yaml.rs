//! YAML as JSON, in the reading of PyYAML's safe loader, which is what its dumper writes for: a plain `1e3` is a text there, and `yes` is true.

use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

/// Deeper than JSON is read.
const DEEPEST: usize = 128;
/// Values that aliases may stand for in all: each stands for as much as it names, and such can name one another.
const MOST_REPEATED: usize = 1 << 20;

/// Reads the first document.
///
/// # Errors
/// Where it cannot be read, with the line.
pub(super) fn read(text: &str) -> Result<Value, String> {
    let mut reader = YamlReader { anchors: HashMap::new(), open: Vec::new(), read: None, repeated: 0 };
    for event in Parser::new_from_str(text) {
        let (event, span) = event.map_err(|error| format!("it is not YAML: {error}"))?;
        let line = span.start.line();
        match event {
            Event::DocumentEnd => break,
            Event::MappingStart(anchor, _) => reader.begin(Open::Mapping(Map::new(), None), anchor),
            Event::SequenceStart(anchor, _) => reader.begin(Open::Sequence(Vec::new()), anchor),
            Event::MappingEnd | Event::SequenceEnd => reader.end(),
            Event::Scalar(text, style, anchor, tag) => {
                let is_plain = style == ScalarStyle::Plain && tag.is_none();
                reader.add(if is_plain { plain(&text) } else { Value::from(text.into_owned()) }, anchor);
            }
            Event::Alias(anchor) => {
                let value = reader.anchors.get(&anchor).cloned();
                let value = value.ok_or_else(|| format!("line {line}: an alias names nothing"))?;
                reader.repeated += count(&value);
                reader.add(value, 0);
            }
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentStart(_) => {}
        }
        if reader.open.len() > DEEPEST || reader.repeated > MOST_REPEATED {
            return Err(format!("line {line}: it is nested too deeply, or repeats itself too often"));
        }
    }
    Ok(reader.read.unwrap_or_default())
}

struct YamlReader {
    anchors: HashMap<usize, Value>,
    /// What has begun and not ended, with its anchor.
    open: Vec<(Open, usize)>,
    read: Option<Value>,
    repeated: usize,
}

enum Open {
    Sequence(Vec<Value>),
    /// With the key whose value is to come.
    Mapping(Map<String, Value>, Option<String>),
}

impl YamlReader {
    fn begin(&mut self, open: Open, anchor: usize) {
        self.open.push((open, anchor));
    }

    fn end(&mut self) {
        match self.open.pop() {
            Some((Open::Sequence(values), anchor)) => self.add(Value::Array(values), anchor),
            Some((Open::Mapping(members, _), anchor)) => self.add(Value::Object(members), anchor),
            None => {}
        }
    }

    fn add(&mut self, value: Value, anchor: usize) {
        if anchor > 0 {
            self.anchors.insert(anchor, value.clone());
        }
        match self.open.last_mut() {
            Some((Open::Sequence(values), _)) => values.push(value),
            Some((Open::Mapping(members, key), _)) => match key.take() {
                Some(key) => {
                    members.insert(key, value);
                }
                // A key of JSON is a text.
                None => *key = Some(value.as_str().map_or_else(|| value.to_string(), str::to_owned)),
            },
            None => self.read = Some(value),
        }
    }
}

fn count(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(count).sum::<usize>(),
        Value::Object(members) => 1 + members.values().map(count).sum::<usize>(),
        _ => 1,
    }
}

/// What a plain word is by the rules of YAML 1.1, as PyYAML has them. Its dumper quotes a text that would be something else by them.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => Value::Null,
        "true" | "True" | "TRUE" | "yes" | "Yes" | "YES" | "on" | "On" | "ON" => Value::Bool(true),
        "false" | "False" | "FALSE" | "no" | "No" | "NO" | "off" | "Off" | "OFF" => Value::Bool(false),
        _ => number(text).map_or_else(|| Value::from(text), Value::Number),
    }
}

fn number(text: &str) -> Option<Number> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|first: char| first.is_ascii_digit() || first == '.') {
        return None;
    }
    if digits.bytes().all(|byte| byte.is_ascii_digit()) {
        // A nought in front would be octal; the dumper writes none.
        let is_decimal = digits == "0" || !digits.starts_with('0');
        let text = text.strip_prefix('+').unwrap_or(text);
        return is_decimal
            .then(|| text.parse::<i64>().map(Number::from).or_else(|_| text.parse::<u64>().map(Number::from)).ok())
            .flatten();
    }
    // A point, or it is a text; and an exponent has a sign.
    let (mantissa, exponent) = digits.split_once(['e', 'E']).unwrap_or((digits, "+0"));
    let is_mantissa = mantissa.contains('.') && mantissa.bytes().all(|byte| byte.is_ascii_digit() || byte == b'.');
    let is_exponent = exponent
        .strip_prefix(['-', '+'])
        .is_some_and(|it| !it.is_empty() && it.bytes().all(|byte| byte.is_ascii_digit()));
    (is_mantissa && is_exponent).then(|| text.parse().ok().and_then(Number::from_f64)).flatten()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn yaml_is_read_as_pyyaml_wrote_it() {
        // yaml.safe_dump of the value below, Python 3.12, PyYAML 6.0.4.
        let text = "\
a: '1.0'
b: 1.0
big: 9007199254740993
c: 1e3
d: 'yes'
deep:
- - 1
  - -2
- {}
- []
e: true
f: null
folded: 'one two three four five six seven eight nine ten eleven twelve thirteen

  fourteen'
h: 0o14
k: \"tab\\there \\L \\U0001F600 '\"
m: 1.5e-07
n: ~x
t: '2026-01-01'
";
        let value = json!({
            "a": "1.0", "b": 1.0, "big": 9_007_199_254_740_993_u64, "c": "1e3", "d": "yes", "deep": [[1, -2], {}, []], "e": true,
            "f": null, "folded": "one two three four five six seven eight nine ten eleven twelve thirteen\nfourteen", "h": "0o14",
            "k": "tab\there \u{2028} \u{1F600} '", "m": 1.5e-7, "n": "~x", "t": "2026-01-01",
        });
        assert_eq!(read(text).unwrap(), value);
    }

    #[test]
    fn aliases_stand_for_what_they_name_and_cannot_fill_memory() {
        assert_eq!(read("a: &id001\n  b: 1\nc: *id001\n").unwrap(), json!({"a": {"b": 1}, "c": {"b": 1}}));
        let line = |n: usize| format!("a{n}: &x{n} [{}]\n", vec![format!("*x{}", n - 1); 10].join(","));
        let bomb: String =
            std::iter::once("a0: &x0 [1,1,1,1,1,1,1,1,1,1]\n".to_owned()).chain((1..12).map(line)).collect();
        assert!(read(&bomb).unwrap_err().contains("repeats itself"));
        assert!(read("a: [1,\n").unwrap_err().contains("not YAML"));
    }
}
