use std::fmt::Write as _;

use bytes::Bytes;
use proptest::prelude::*;

use super::*;
use crate::filter::Filter;

const CALL: &str = r#"{"jsonrpc":"2.0","id":1.0,"params":{"name":"say","arguments":{"text":"a\nb \"c\" \ud83d\ude00","a b":[true,null,{},[]],"n":1e400}}}"#;

fn tree(text: &str) -> JsonTree {
    JsonTree::new(&Bytes::copy_from_slice(text.as_bytes()))
}

/// The rows as text: path, then value, then what folding there is.
fn draw(tree: &JsonTree, folds: &Folds) -> String {
    let rows = tree.rows(folds, 0..usize::MAX);
    assert_eq!(rows.len(), tree.row_count(folds));
    let mut text = String::new();
    for row in rows {
        let fold = if !row.foldable {
            ""
        } else if row.folded {
            " >"
        } else {
            " v"
        };
        writeln!(text, "{} {} {:?}{fold}", row.depth, row.path, row.value).expect("a string takes everything");
    }
    text
}

#[test]
fn rows_of_a_message() {
    insta::assert_snapshot!(draw(&tree(CALL), &Folds::default()), @r#"
    0 .jsonrpc String { head: "2.0", chars: 3, lines: 1 }
    0 .id Number("1.0")
    0 .params Object(2) v
    1 .params.name String { head: "say", chars: 3, lines: 1 }
    1 .params.arguments Object(3) v
    2 .params.arguments.text String { head: "a\\nb \"c\" 😀", chars: 9, lines: 2 }
    2 .params.arguments["a b"] Array(4) v
    3 .params.arguments["a b"][0] Bool(true)
    3 .params.arguments["a b"][1] Null
    3 .params.arguments["a b"][2] Object(0)
    3 .params.arguments["a b"][3] Array(0)
    2 .params.arguments.n Number("1e400")
    "#);
}

#[test]
fn folds_hide_what_is_inside() {
    let mut folds = Folds::new(1);
    folds.toggle(".params.arguments");
    insta::assert_snapshot!(draw(&tree(CALL), &folds), @r#"
    0 .jsonrpc String { head: "2.0", chars: 3, lines: 1 }
    0 .id Number("1.0")
    0 .params Object(2) v
    1 .params.name String { head: "say", chars: 3, lines: 1 }
    1 .params.arguments Object(3) v
    2 .params.arguments.text String { head: "a\\nb \"c\" 😀", chars: 9, lines: 2 }
    2 .params.arguments["a b"] Array(4) >
    2 .params.arguments.n Number("1e400")
    "#);
    folds.toggle(".params");
    assert_eq!(tree(CALL).row_count(&folds), 3);
    folds.open_all();
    assert_eq!(tree(CALL).row_count(&folds), 12);
    folds.close_all();
    assert_eq!(tree(CALL).row_count(&folds), 3);
    folds.toggle(".nowhere[7]");
    assert_eq!(tree(CALL).row_count(&folds), 3);
}

#[test]
fn rows_of_one_value_and_of_none() {
    for (body, row) in [
        ("[]", "0 . Array(0)\n"),
        (" {} ", "0 . Object(0)\n"),
        ("\u{feff}7", "0 . Number(\"7\")\n"),
        ("[7]", "0 [0] Number(\"7\")\n"),
        ("", "0 . Text(\"\")\n"),
        ("not\x1b[2J\r\n{}", "0 . Text(\"not\\\\x1b[2J\")\n0 . Text(\"{}\")\n"),
        (r#"{"a":1,}"#, "0 . Text(\"{\\\"a\\\":1,}\")\n"),
        (r#"{"":1,"a":2,"a":3}"#, "0 [\"\"] Number(\"1\")\n0 .a Number(\"2\")\n0 .a Number(\"3\")\n"),
        ("{\"\u{202e}\\u0007\":1}", "0 [\"\\u202e\\u0007\"] Number(\"1\")\n"),
    ] {
        assert_eq!(draw(&tree(body), &Folds::default()), row, "of {body:?}");
    }
    assert_eq!(JsonTree::new(&Bytes::from_static(b"\xff\n")).rows(&Folds::default(), 0..9).len(), 1);
}

#[test]
fn text_of_a_value_is_whole() {
    let tree = tree(CALL);
    for (path, text) in [
        (".params.arguments.text", Some("a\nb \"c\" 😀")),
        (".id", Some("1.0")),
        (".params.arguments[\"a b\"]", Some("[true,null,{},[]]")),
        (".params.arguments[\"a b\"][2]", Some("{}")),
        (".", Some(CALL)),
        (".nothing", None),
        ("nonsense", None),
    ] {
        assert_eq!(tree.text_at(path).as_deref(), text, "{path}");
    }
    assert_eq!(JsonTree::new(&Bytes::from_static(br#"["\ud83d!"]"#)).text_at("[0]").as_deref(), Some("\\ud83d!"));
    assert_eq!(JsonTree::new(&Bytes::from_static(b"oops")).text_at(".x").as_deref(), Some("oops"));
}

#[test]
fn long_strings_show_their_head_and_size() {
    let tree = tree(&format!(r#"{{"s":"{}"}}"#, "é\\n".repeat(1_000_000)));
    let rows = tree.rows(&Folds::default(), 0..1);
    let JsonCell::String { head, chars, lines } = &rows[0].value else {
        panic!("{rows:?}");
    };
    assert_eq!((head.as_str(), *chars, *lines), ("é\\n".repeat(100).as_str(), 2_000_000, 1_000_001));
}

#[test]
fn windows_into_a_long_array_agree_with_the_whole() {
    let body: Vec<String> = (0..500).map(|n| format!(r#"{{"n":{n},"list":[{n},[],[{n},{{"x":{n}}}]]}},{n}"#)).collect();
    let tree = tree(&format!("[{}]", body.join(",")));
    let mut folds = Folds::new(2);
    for path in ["[0]", "[6].list", "[6].list[2]", "[990].list[2]", "[990].list[2][1]"] {
        folds.toggle(path);
    }
    let all = tree.rows(&folds, 0..usize::MAX);
    assert_eq!(all.len(), tree.row_count(&folds));
    for start in (0..all.len()).step_by(7).chain([all.len() - 1, all.len(), all.len() + 5]) {
        let end = (start + 9).min(all.len());
        assert_eq!(tree.rows(&folds, start..start + 9), all.get(start..end).unwrap_or_default(), "from {start}");
    }
}

#[test]
fn scan_survives_any_depth() {
    let depth = 200_000;
    let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
    let mut folds = Folds::default();
    folds.open_all();
    let rows = tree(&deep).rows(&folds, 0..usize::MAX);
    assert_eq!(rows.len(), index::MAX_DEPTH);
    assert!(matches!(&rows.last().expect("there are rows").value, JsonCell::Text(head) if head.starts_with("[[[")));
    assert_eq!(check(&deep), Ok(()));
    assert!(pretty(deep.as_bytes()).is_some());
    assert_eq!(tree(&"{\"a\":".repeat(depth)).row_count(&folds), 1);
}

#[test]
fn index_is_smaller_than_twice_its_body() {
    for element in ["1234", r#"{"id":12345,"name":"element 12345","tags":["a","b"]}"#] {
        let body = format!("[{}]", vec![element; 10_000].join(","));
        let index = index::Index::build(body.as_bytes()).expect("this is JSON");
        let size = index.len() as usize * 4 + size_of_val(index.containers());
        assert!(size <= 2 * body.len(), "{size} for {}", body.len());
    }
}

#[test]
fn indented_text_keeps_every_token() {
    insta::assert_snapshot!(pretty(CALL.as_bytes()).expect("this is JSON"), @r#"
    {
      "jsonrpc": "2.0",
      "id": 1.0,
      "params": {
        "name": "say",
        "arguments": {
          "text": "a\nb \"c\" \ud83d\ude00",
          "a b": [
            true,
            null,
            {},
            []
          ],
          "n": 1e400
        }
      }
    }
    "#);
    assert_eq!(pretty(b"[ ]").as_deref(), Some("[]"));
    assert_eq!(pretty(b"nope"), None);
}

#[test]
fn faults_are_named_where_they_stand() {
    for (text, fault) in [
        ("", "line 1:1 expected a value"),
        ("{\"a\": 1 \"b\"}", "line 1:9 expected `,` or `}`"),
        ("[1 2]", "line 1:4 expected `,` or `]`"),
        ("{\n  \"a\": 1,\n}", "line 3:1 a comma stands before the end"),
        ("[1,]", "line 1:4 a comma stands before the end"),
        ("{a: 1}", "line 1:2 expected a key in quotes or `}`"),
        ("{\"a\" 1}", "line 1:6 expected `:`"),
        ("{\"ä\": \"b}", "line 1:7 this string is never closed"),
        ("[\"a\n\"]", "line 1:2 this string is not closed on its line"),
        ("[\"a\t\"]", "line 1:4 a control character in a string must be an escape"),
        (r#"["\x"]"#, "line 1:3 no such escape; a backslash is written `\\\\`"),
        (r#"["\u12g4"]"#, "line 1:3 `\\u` needs four hexadecimal digits"),
        ("[01]", "line 1:3 a number cannot begin with 0"),
        ("[1.]", "line 1:4 a digit is missing"),
        ("[tru]", "line 1:2 expected a value"),
        ("{} x", "line 1:4 something follows the end"),
        ("[}", "line 1:2 expected a value"),
        ("{\"a\":[1}", "line 1:8 expected `,` or `]`"),
    ] {
        assert_eq!(check(text).expect_err(text).to_string(), fault, "of {text:?}");
    }
}

fn json() -> impl Strategy<Value = serde_json::Value> {
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<String>().prop_map(Into::into),
    ];
    leaf.prop_recursive(5, 60, 6, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::vec((any::<String>(), inner), 0..6)
                .prop_map(|members| serde_json::Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    #[test]
    fn scan_agrees_with_serde_on_what_is_json(text in "[\\[\\]{},:\"\\\\ \nantrulefs0-9.eE+-]{0,12}") {
        let expected = serde_json::from_str::<serde::de::IgnoredAny>(&text).is_ok();
        prop_assert_eq!(check(&text).is_ok(), expected, "{:?}", text);
        tree(&text).rows(&Folds::default(), 0..100);
    }

    #[test]
    fn path_finds_every_value(value in json()) {
        let text = serde_json::to_string(&value).expect("a value has a text");
        let tree = tree(&text);
        let mut folds = Folds::default();
        folds.open_all();
        for row in tree.rows(&folds, 0..usize::MAX) {
            prop_assert!(Filter::parse(&format!("~j {}", row.path)).is_ok(), "{}", row.path);
            let found = tree.text_at(&row.path);
            prop_assert!(found.is_some(), "{}", row.path);
        }
        prop_assert_eq!(tree.text_at("."), Some(value.as_str().unwrap_or(&text).to_owned()));
        let indented = pretty(text.as_bytes()).expect("this is JSON");
        prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&indented).expect("this is JSON"), value);
    }
}
