use proptest::prelude::*;

use super::calls::equal_pairs;
use super::*;

const HEADER: &str = "{\"tapline\":1,\"version\":\"0.1.0\",\"session\":\"01a2097c-74ca-7690-a877-2a9c7b2466dc\",\"upstream\":\"x\",\"via\":\"stdio\",\"started\":1795455481034436}\n";

/// The lines of a tape of calls: name of the tool, arguments, result, microseconds.
fn lines(calls: &[(&str, &str, &str, u64)]) -> String {
    let mut text = HEADER.to_owned();
    for (at, (name, arguments, result, took)) in calls.iter().enumerate() {
        let (request, reply) = (at * 2 + 1, at * 2 + 2);
        let (method, params) = match *name {
            "tools/list" => ("tools/list", "{}".to_owned()),
            name => ("tools/call", format!(r#"{{"name":"{name}","arguments":{arguments}}}"#)),
        };
        text += &format!(
            "{{\"seq\":{request},\"at\":{request},\"dir\":\"c2s\",\"via\":\"stdio\",\"msg\":{{\"id\":{at},\"method\":\"{method}\",\"params\":{params}}}}}\n\
             {{\"seq\":{reply},\"at\":{reply},\"dir\":\"s2c\",\"via\":\"stdio\",\"method\":\"{method}\",\"name\":\"{name}\",\"re\":{request},\"dt\":{took},\"msg\":{{\"id\":{at},\"result\":{result}}}}}\n"
        );
    }
    text
}

fn read(text: &str) -> RecordedCalls {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(&file, text).unwrap();
    // It stays open.
    RecordedCalls::read(file.path(), &|_, _| true).unwrap().unwrap()
}

fn tape(calls: &[(&str, &str, &str, u64)]) -> RecordedCalls {
    read(&lines(calls))
}

fn compared(left: &[(&str, &str, &str, u64)], right: &[(&str, &str, &str, u64)]) -> DiffedTapes {
    DiffedTapes::compare([tape(left), tape(right)], Vec::new(), &|_, _| true).unwrap().unwrap()
}

fn rendered(diff: &DiffedTapes, names: [&str; 2], form: DiffForm) -> String {
    let mut out = Vec::new();
    render(diff, names, form, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

fn told(left: &[(&str, &str, &str, u64)], right: &[(&str, &str, &str, u64)]) -> String {
    rendered(&compared(left, right), ["a", "b"], DiffForm::Text)
}

#[test]
fn diff_matches_calls_by_their_arguments_and_not_by_their_place() {
    let (a, b) = (("sum", r#"{"x":1,"y":2}"#, "3", 9), ("sum", r#"{"x":5}"#, "5", 9));
    let respelled = ("sum", r#"{"y":2, "x":1}"#, "3", 9);
    assert_eq!(told(&[a, b], &[b, respelled]), "2 calls are the same, 0 differ, 0 definitions differ\n");
}

#[test]
fn diff_tells_what_was_added_removed_and_changed_by_path() {
    let left = [
        ("sum", "{\"x\":1}", "{\"n\":1}", 9),
        ("gone", "{}", "1", 9),
        ("left", "{\"z\":7}", "1", 9),
        ("near", "{\"x\":1,\"y\":2}", "1", 9),
    ];
    let right =
        [("sum", "{\"x\":1}", "{\"n\":2,\"m\":0}", 9), ("new", "{}", "1", 9), ("near", "{\"x\":1,\"y\":3}", "1", 9)];
    insta::assert_snapshot!(told(&left, &right), @r#"
    ~ changed tools/call sum #1 #1
        .result.n  - 1  + 2
        .result.m  + 0
    - removed tools/call gone #3
    - removed tools/call left #5
        .params.arguments  - {"z":7}
    ~ changed tools/call near #7 #5
        .params.arguments.y  - 2  + 3
    + added tools/call new #3
    0 calls are the same, 5 differ, 0 definitions differ
    "#);
}

#[test]
fn diff_has_what_was_said_again_after_a_rewind_once() {
    let call = |seq: u64, id: u64, x: u64, more: &str| {
        format!(
            "{{\"seq\":{seq},\"at\":{seq},\"dir\":\"c2s\",\"via\":\"stdio\"{more},\"msg\":{{\"id\":{id},\"method\":\"add\",\"params\":{{\"x\":{x}}}}}}}\n"
        )
    };
    let again = r#","verdict":{"injected":"tapline"}"#;
    let text = HEADER.to_owned()
        + &call(1, 1, 1, "")
        + &call(2, 2, 2, "")
        + "{\"mark\":\"rewind\",\"at\":2,\"after\":2,\"text\":\"again\"}\n"
        + &call(3, 90, 1, again)
        + "{\"mark\":\"seam\",\"at\":3,\"after\":3,\"text\":\"rewound\"}\n"
        + &call(4, 3, 3, again);
    let calls: Vec<_> = read(&text).calls.iter().map(|it| it.seq.0).collect();
    assert_eq!(calls, [1, 2, 4]);
}

#[test]
fn diff_passes_over_what_changes_from_run_to_run() {
    let call = |at: &'static str| [("now", "{}", at, 9)];
    let said = told(&call(r#"{"at":"2026-11-23T16:55:01Z"}"#), &call(r#"{"at":"2026-11-24T16:55:09Z"}"#));
    assert_eq!(
        said,
        "1 call is the same, 0 differ, 0 definitions differ; 1 value differs as it does from run to run\n"
    );
}

#[test]
fn diff_ends_early_where_it_is_stopped() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("x.tape.jsonl");
    std::fs::write(&path, lines(&[("sum", "{}", "1", 9), ("now", "{}", "2", 9), ("sum", "{\"a\":1}", "3", 9)]))
        .unwrap();
    let asked = std::cell::Cell::new(0);
    let after = |times: usize| {
        asked.set(0);
        let found = compare_files(&[path.clone(), path.clone()], &|| {
            asked.set(asked.get() + 1);
            asked.get() > times
        });
        found.map(|found| found.outcome.unwrap().same)
    };
    assert_eq!(after(usize::MAX), Some(3));
    let all = asked.get();
    assert!(all > 6 && (0..all).all(|times| after(times).is_none()), "{all}");
}

#[test]
fn comparison_of_files_says_which_cannot_be_read_and_in_which_line() {
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    std::fs::write(path("good"), HEADER).unwrap();
    std::fs::write(path("hurt"), format!("{HEADER}\n{{\"seq\":1,\n")).unwrap();
    std::fs::write(path("bad"), "hello\n").unwrap();
    let compare = |left, right| compare_files(&[path(left), path(right)], &|| false).unwrap();
    let hurt = compare("good", "hurt");
    assert!(hurt.outcome.unwrap().is_same() && hurt.problems[0].is_empty());
    assert!(hurt.problems[1][0].starts_with("line 3: "), "{:?}", hurt.problems);
    let why = compare("good", "bad").outcome.unwrap_err();
    assert!(why.contains("bad is not a tape: ") && why.contains("its first line"), "{why}");
    let why = compare("none", "good").outcome.unwrap_err();
    assert!(why.starts_with("there is no tape "), "{why}");
    assert!(compare_files(&[path("good"), path("hurt")], &|| true).is_none());
}

const TOOLS: &str = r#"{"tools":[{"name":"a","description":"reads","inputSchema":{"type":"object"}},{"name":"b"}]}"#;
const PULLED: &str =
    r#"{"tools":[{"name":"c"},{"name":"a","description":"reads, and sends","inputSchema":{"type":"object"}}]}"#;

#[test]
fn diff_tells_which_tools_are_not_what_they_were() {
    let said = told(&[("tools/list", "", TOOLS, 9)], &[("tools/list", "", PULLED, 9)]);
    insta::assert_snapshot!(said, @r#"
    ~ changed tool a
        .description  - "reads"  + "reads, and sends"
    - removed tool b
        .  - {"name":"b"}
    + added tool c
        .  + {"name":"c"}
    1 call is the same, 0 differ, 3 definitions differ
    "#);
    let within = told(&[("tools/list", "", TOOLS, 9)], &[("tools/list", "", TOOLS, 9), ("tools/list", "", PULLED, 9)]);
    assert!(within.contains("changed tool a (while the session went on)"), "{within}");
}

#[test]
fn definitions_are_pinned_by_a_baseline() {
    let (before, now) = (
        Definitions::of(&tape(&[("tools/list", "", TOOLS, 9)])).unwrap(),
        Definitions::of(&tape(&[("tools/list", "", PULLED, 9)])).unwrap(),
    );
    let baseline = Definitions::read(&before.baseline()).unwrap();
    assert_eq!((baseline.changes(&before).len(), baseline.changes(&now).len()), (0, 3));
    assert_eq!(baseline.baseline(), before.baseline());
    assert!(Definitions::read("{}").unwrap_err().contains("no baseline"));
    assert_eq!(
        Definitions::read("{\"tapline-baseline\":2}").unwrap_err(),
        "it is a baseline of version 2, this tapline reads 1"
    );
}

#[test]
fn timing_tells_slower_and_faster_beyond_chance() {
    let calls = |times: &[u64]| times.iter().map(|took| ("nap", "{}", "1", *took)).collect::<Vec<_>>();
    let steady: Vec<u64> = (0..20).map(|n| 1_000 + n * 7).collect();
    let slow: Vec<u64> = steady.iter().map(|n| n * 2).collect();
    assert!(
        told(&calls(&steady), &calls(&slow))
            .contains("t slower tools/call nap: 1.0 ms -> 2.1 ms (median of 20 and 20 calls)")
    );
    assert!(told(&calls(&slow), &calls(&steady)).contains("t faster"));
    let shuffled: Vec<u64> = steady.iter().rev().map(|n| n + 3).collect();
    assert!(!told(&calls(&steady), &calls(&shuffled)).contains("er tools"));
    assert!(!told(&calls(&[1, 2]), &calls(&[100, 200])).contains("er tools"), "two calls tell nothing");
    let found = || compared(&calls(&steady), &calls(&slow));
    let junit = |diff: &DiffedTapes| rendered(diff, ["a", "b"], DiffForm::Junit);
    assert!(!found().differs() && junit(&found()).contains("failures=\"0\""));
    let failing = found().failing_where_slower();
    assert!(
        failing.differs()
            && junit(&failing).contains("failures=\"1\"")
            && junit(&failing).contains("slower tools/call nap")
    );
    let few: Vec<u64> = (0..5).map(|n| 1_000 + n).collect();
    let [apart, near, mixed] = [3_000, 1_500, 2_998].map(|from| (0..5).map(|n| from + n).collect::<Vec<_>>());
    assert!(told(&calls(&few), &calls(&apart)).contains("t slower"), "each took longer than any");
    assert!(!told(&calls(&few), &calls(&near)).contains("er tools"), "five do not tell so little");
    assert!(!told(&calls(&[&few[..4], &[3_000]].concat()), &calls(&mixed)).contains("er tools"));
}

#[test]
fn timing_is_judged_over_tapes_that_repeat_one() {
    let repeated = |times: &[u64], more: &str| {
        let mut tapes = times.iter().map(|took| tape(&[("nap", "{}", "1", *took), (more, "{}", "1", *took)]));
        let mut first = tape(&[("nap", "{}", "1", times[0])]);
        tapes.by_ref().skip(1).for_each(|it| first.repeat(&it));
        first
    };
    let [steady, slow] = [1_000, 3_000].map(|from| (from..from + 5).collect::<Vec<_>>());
    let found = |left: &[u64], right: &[u64]| {
        let both = [repeated(left, "only-repeated"), repeated(right, "only-repeated")];
        let diff = DiffedTapes::compare(both, Vec::new(), &|_, _| true).unwrap().unwrap();
        rendered(&diff, ["a", "b"], DiffForm::Text)
    };
    let told = found(&steady, &slow);
    assert!(told.contains("t slower tools/call nap: 1.0 ms -> 3.0 ms (median of 5 and 5 calls)"), "{told}");
    assert!(told.contains("1 call is the same, 0 differ"), "{told}");
    assert!(!found(&steady, &slow[..4]).contains("slower"), "four are too few");
}

#[test]
fn render_makes_nothing_of_what_a_server_says() {
    let left = [("sum", "{}", r#""plain""#, 9)];
    let right = [("sum", "{}", r#""<script>alert(1)</script>```\u001b[2J""#, 9)];
    let found = compared(&left, &right);
    let html = rendered(&found, ["a", "<b>"], DiffForm::Html);
    assert!(!html.contains("<script>alert") && html.contains("\\u003cscript>alert") && !html.contains("<b>"), "{html}");
    let markdown = rendered(&found, ["a", "b"], DiffForm::Markdown);
    assert!(markdown.contains("\n````diff\n"), "{markdown}");
    let junit = rendered(&found, ["a", "b"], DiffForm::Junit);
    assert!(junit.contains("failures=\"1\"") && junit.contains("&lt;script&gt;"), "{junit}");
    let json: serde_json::Value = serde_json::from_str(&rendered(&found, ["a", "b"], DiffForm::Json)).unwrap();
    assert_eq!((json["same"].as_bool(), json["diff"]["calls"][0]["kind"].as_str()), (Some(false), Some("changed")));
}

fn shown_on_page(diff: &DiffedTapes, names: [&str; 2]) -> serde_json::Value {
    let page = rendered(diff, names, DiffForm::Html);
    assert_eq!((page.matches("<script").count(), page.matches("</script>").count()), (2, 2));
    assert!(page.contains("default-src 'none'") && page.contains("id=\"search\"") && page.contains("search.oninput"));
    let data = page.split_once("id=\"data\">").unwrap().1.split_once("</script>").unwrap().0;
    serde_json::from_str(data).unwrap()
}

#[test]
fn page_has_every_call_of_both_tapes() {
    let left = [
        ("sum", "{\"x\":1}", "{\"n\":1}", 9),
        ("gone", "{}", "1", 9),
        ("now", "{}", r#"{"at":"2026-11-23T16:55:01Z"}"#, 7),
        ("kept", "{}", "1", 9),
    ];
    let right = [
        ("kept", "{}", "1", 8),
        ("sum", "{\"x\":1}", "{\"n\":2}", 9),
        ("now", "{}", r#"{"at":"2026-11-24T16:55:09Z"}"#, 7),
        ("new", "{}", "\"<b>\"", 9),
    ];
    let data = shown_on_page(&compared(&left, &right), ["a", "@DATA@</script>"]);
    assert_eq!((&data["left"], &data["right"]), (&"a".into(), &"@DATA@</script>".into()));
    assert_eq!(
        data["summary"],
        "2 calls are the same, 3 differ, 0 definitions differ; 1 value differs as it does from run to run"
    );
    let item = |it: &serde_json::Value| {
        format!("{} {} {}-{} {}/{}", it["kind"], it["name"], it["left"], it["right"], it["was"], it["took"])
            .replace('"', "")
    };
    let items = data["items"].as_array().unwrap();
    insta::assert_snapshot!(items.iter().map(item).collect::<Vec<_>>().join("\n"), @r"
    changed sum 1-3 9/9
    removed gone 3-null 9/null
    same now 5-5 7/7
    same kept 7-1 9/8
    added new null-7 null/9
    ");
    assert_eq!(items[0]["differences"], serde_json::json!([{ "path": ".result.n", "expected": "1", "got": "2" }]));
    assert_eq!(items[2]["excused"][0]["kind"], "time");
}

#[test]
fn json_is_written_as_if_it_were_one_value() {
    let left = [
        ("sum", "{}", r#""plain""#, 9),
        ("gone", "{\"a\":1}", "1", 9),
        ("now", "{}", r#"{"at":"2026-11-23T16:55:01Z"}"#, 9),
    ];
    let right = [("sum", "{}", r#""\u009b\n\u202e""#, 9), ("now", "{}", r#"{"at":"2026-11-24T16:55:09Z"}"#, 9)];
    for (left, right) in [(&left[..], &right[..]), (&left, &left)] {
        let diff = compared(left, right);
        let written = rendered(&diff, ["a\u{9b}", "\"b\""], DiffForm::Json);
        let same = diff.is_same();
        let whole =
            serde_json::json!({ "left": "a\u{9b}", "right": "\"b\"", "same": same, "diff": diff.whole().unwrap() });
        assert_eq!(written, crate::text::harmless_json(&format!("{whole:#}")).into_owned() + "\n");
    }
}

proptest! {
    /// What belongs together is found by sorting: as if each call took the first equal one that is left.
    #[test]
    fn equal_calls_are_paired_in_their_order(left in "[abc]{0,12}", right in "[abc]{0,12}") {
        let tape = |names: &str| {
            let names: Vec<_> = names.chars().map(String::from).collect();
            tape(&names.iter().map(|name| (name.as_str(), "{}", "1", 9)).collect::<Vec<_>>())
        };
        let mut free: Vec<_> = right.chars().map(Some).collect();
        let mut first = |name| {
            let place = free.iter().position(|it| *it == Some(name))?;
            free[place] = None;
            u32::try_from(place).ok()
        };
        let expected: Vec<_> = left.chars().map(&mut first).collect();
        let found: Vec<_> = equal_pairs(&tape(&left).calls, &tape(&right).calls).iter().map(|it| it.right).collect();
        prop_assert_eq!(found, expected);
    }
}
