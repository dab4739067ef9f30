//! Editing where one stands: the value under the cursor, in the editor and in a line of its own.

use std::sync::Arc;

use super::rig::{Rig, World, busy, held, session, text_result};
use crate::envelope::{Author, Outcome, Via};
use crate::event::{Command, Decision, Event, Ticket};
use crate::ui::model::Effect;

/// The bytes that the keys send in place of the held message.
fn sent(rig: &mut Rig) -> String {
    match &rig.commands()[..] {
        [Command::Settle { decision: Decision::Edit(message), .. }] => {
            String::from_utf8_lossy(message.raw()).into_owned()
        }
        other => panic!("{other:?}"),
    }
}

/// One held call whose arguments are these.
fn holding(arguments: &str) -> Rig {
    let mut rig = Rig::new(120, 36);
    let mut world = World::new();
    rig.on_event(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
    rig.on_event(held(1, world.call(1, 44, "book", arguments), 1));
    rig
}

const CALL: &str = r#"{"jsonrpc":"2.0","id":44,"method":"tools/call","params":{"name":"book","arguments":"#;

#[test]
fn motions_of_a_shell_move_in_the_editor() {
    let mut rig = busy(120, 36);
    rig.press("2 e ctrl-a");
    let at = |rig: &Rig| {
        let cursor = rig.model.editor.as_ref().unwrap().area.cursor();
        (cursor.0, cursor.1)
    };
    let (row, begin) = at(&rig);
    rig.press("ctrl-f");
    assert_eq!(at(&rig), (row, begin + 1), "a character on");
    rig.press("ctrl-e");
    let line = rig.model.editor.as_ref().unwrap().area.lines()[row].chars().count();
    assert_eq!(at(&rig), (row, line), "the end of the line");
}

#[test]
fn value_is_changed_and_sent_in_five_keys() {
    for keys in ["c 9 9 9 ctrl-s", "2 c 7 ctrl-s", "e 9 9 9 ctrl-s", "2 e 7 ctrl-s"] {
        let mut rig = holding(r#"{ "total": 420,"note" :"\u0041"}"#);
        rig.press(keys);
        let number = if keys.contains('9') { "999" } else { "7" };
        let expected = format!(r#"{CALL}{{ "total": {number},"note" :"\u0041"}}}}}}"#);
        assert_eq!(sent(&mut rig), expected, "{keys}: all that nobody named keeps its spelling");
    }
}

#[test]
fn value_under_the_cursor_is_the_one_that_is_edited() {
    let arguments = r#"{"from":"Oslo","to":"Rome","seats":{"count":2,"window":true}}"#;
    for (keys, typed, send, expected) in [
        ("2 tab j", "Bonn", "ctrl-s", r#"{"from":"Bonn","to":"Rome","seats":{"count":2,"window":true}}"#),
        ("2 enter c tab", "Bonn", "ctrl-s", r#"{"from":"Oslo","to":"Bonn","seats":{"count":2,"window":true}}"#),
        ("c down tab", "3", "ctrl-s", r#"{"from":"Oslo","to":"Rome","seats":{"count":3,"window":true}}"#),
        ("c tab tab tab space", "", "ctrl-s", r#"{"from":"Oslo","to":"Rome","seats":{"count":2,"window":false}}"#),
        (
            "c tab tab ctrl-t",
            "\"two\"",
            "enter a",
            r#"{"from":"Oslo","to":"Rome","seats":{"count":"two","window":true}}"#,
        ),
        ("c", "say \"a\\b\"", "enter a", r#"{"from":"say \"a\\b\"","to":"Rome","seats":{"count":2,"window":true}}"#),
    ] {
        let mut rig = holding(arguments);
        rig.press(keys);
        if keys == "2 tab j" {
            // From the top, the tree leads there by itself.
            rig.press("home c");
        }
        if keys.contains("ctrl-t") {
            rig.press("ctrl-u");
        }
        rig.typing(typed).press(send);
        assert_eq!(sent(&mut rig), format!("{CALL}{expected}}}}}"), "{keys}");
    }
}

#[test]
fn value_of_the_wrong_type_is_not_kept() {
    let mut rig = holding(r#"{"total":420}"#);
    rig.press("c").typing("many").press("enter");
    assert!(rig.model.prompt.is_some());
    let said = |rig: &mut Rig| rig.picture().matches("not a number; `ctrl t` takes any JSON").count();
    assert_eq!(said(&mut rig), 1, "{}", rig.picture());
    assert_eq!(said(rig.press("left")), 1, "{}", rig.picture());
    rig.press("ctrl-s");
    assert_eq!(rig.sent(), "");
    rig.press("esc");
    assert!(rig.model.prompt.is_none() && !rig.model.has_draft());
}

#[test]
fn kept_value_is_seen_in_the_tree_and_taken_back() {
    let mut rig = holding(r#"{"city":"Lisbon","n":1}"#);
    rig.press("2 c").typing("Oslo").press("enter");
    assert!(rig.model.has_draft());
    let picture = rig.picture();
    assert!(picture.contains("#1187 draft") && picture.contains("\"Oslo\""), "{picture}");
    rig.press("c").typing("Rome").press("tab").typing("2").press("enter");
    let picture = rig.picture();
    assert!(picture.contains("\"Rome\"") && picture.contains("n  2"), "{picture}");
    rig.press("V");
    assert!(rig.picture().contains("\"Lisbon\""));
    rig.press("a");
    assert!(rig.sent().contains("Forward"));
}

#[test]
fn untouched_value_leaves_the_message_as_it_came() {
    let mut rig = holding(r#"{"city":"\u004cisbon"}"#);
    rig.press("c enter");
    assert!(!rig.model.has_draft());
    rig.press("c ctrl-s");
    assert!(rig.sent().contains("Forward"), "not an edit");
}

#[test]
fn reply_is_edited_at_what_it_says() {
    let mut rig = Rig::new(120, 36);
    let mut world = World::new();
    rig.on_event(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
    let call = world.call(1, 44, "book", "{}");
    let reply = world.reply(&call, 5, &text_result("total 420"));
    rig.on_event(held(1, reply, 1));
    rig.press("2 c").typing("total 999").press("ctrl-s");
    assert!(sent(&mut rig).contains(r#""text":"total 999""#));
}

#[test]
fn past_request_is_changed_in_a_line_and_sent_again() {
    let mut rig = busy(120, 36);
    rig.press(": 1 1 8 9 enter c").typing("abc").press("ctrl-s");
    let commands = rig.commands();
    let [Command::Send { message, .. }] = &commands[..] else { panic!("{commands:?}") };
    assert!(String::from_utf8_lossy(message.raw()).contains(r#"{"query":"abc","limit":20}"#));
    rig.press(": 1 1 9 0 enter c");
    assert!(rig.model.prompt.is_none(), "its reply cannot be sent again");
}

#[test]
fn editor_opens_on_the_value_and_typing_replaces_it() {
    let mut rig = holding(r#"{"city":"Lisbon","days":[1,20,3]}"#);
    rig.press("2 enter j j j e").typing("55").press("ctrl-s");
    assert_eq!(sent(&mut rig), format!(r#"{CALL}{{"city":"Lisbon","days":[1,55,3]}}}}}}"#));
    let mut rig = holding(r#"{"city":"Lisbon"}"#);
    rig.press("c").typing("Rome").press("ctrl-o").typing("Oslo").press("ctrl-s");
    assert_eq!(sent(&mut rig), format!(r#"{CALL}{{"city":"Oslo"}}}}}}"#));
}

#[test]
fn long_text_stays_in_sight_of_its_cursor() {
    let mut rig = holding(&format!(r#"{{"text":"{}"}}"#, "long ".repeat(60)));
    rig.press("c end").typing("END");
    let picture = rig.picture();
    assert!(
        picture.lines().any(|line| line.contains(".params.arguments.text = ") && line.contains("END")),
        "{picture}"
    );
}

const SAID: &str = r#"{\"city\": \"Rome\",\"hotels\":[{\"name\":\"Lux\",\"price\":420 }]}"#;

/// A held reply that says something in JSON, in a string.
fn reply(rig: &mut Rig) {
    let mut world = World::new();
    rig.on_event(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
    let call = world.call(1, 44, "book", "{}");
    let reply = world.reply(&call, 3, &format!(r#""result":{{"content":[{{"type":"text","text":"{SAID}"}}]}}"#));
    rig.on_event(held(1, reply, 1));
}

#[test]
fn json_in_a_string_is_folded_edited_and_sent_as_a_string() {
    let expected = |was: &str, is: &str| {
        let said = SAID.replacen(was, is, 1);
        format!(r#"{{"jsonrpc":"2.0","id":44,"result":{{"content":[{{"type":"text","text":"{said}"}}]}}}}"#)
    };
    // In a line, and in the text; both begin at the first value within the string.
    for keys in ["2 c", "2 e"] {
        let mut rig = Rig::new(120, 36);
        reply(&mut rig);
        rig.press(keys).typing("Bonn").press("ctrl-s");
        assert_eq!(sent(&mut rig), expected("Rome", "Bonn"), "{keys}");
    }
    let mut rig = Rig::new(120, 36);
    reply(&mut rig);
    let picture = rig.press("2 enter").picture();
    assert!(picture.contains("▾ text    JSON in a string") && picture.contains("city  \"Rome\""), "{picture}");
    rig.press("home /").typing("420").press("enter y p");
    assert!(
        matches!(rig.effects.last(), Some(Effect::Copy(path)) if path == ".result.content[0].text | fromjson | .hotels[0].price"),
        "{:?}",
        rig.effects
    );
    rig.press("c").typing("99").press("enter");
    assert!(rig.picture().contains("price  99"), "{}", rig.picture());
    rig.press("t d");
    assert!(rig.press("a").sent().contains("Edit("));
    let mut rig = Rig::new(120, 36);
    reply(&mut rig);
    assert!(rig.press("2 e").picture().contains("\"text\": @{"), "{}", rig.picture());
    rig.press("esc t d enter");
    assert!(rig.picture().contains(r#"text  "{"city"#), "{}", rig.picture());
}

#[test]
fn value_is_picked_from_what_the_schema_names() {
    let mut rig = busy(120, 36);
    super::scenes::booked(&mut rig);
    let picture = rig.press("2 G c tab").picture();
    assert!(picture.contains("one of \"economy\", \"business\""), "{picture}");
    rig.typing("first");
    assert!(rig.picture().contains("not one of"), "{}", rig.picture());
    rig.press("ctrl-n ctrl-n tab");
    assert!(rig.picture().contains("integer, default 1"), "{}", rig.picture());
    rig.press("ctrl-n ctrl-s");
    assert!(sent(&mut rig).ends_with(r#""arguments":{"city":"Rome","class":"business","seats":1}}}"#));
}

#[test]
fn held_request_is_answered_with_a_result_of_ones_own() {
    let mut rig = busy(120, 36);
    super::scenes::booked(&mut rig);
    rig.press("2 G B ctrl-s");
    let [Command::Settle { decision: Decision::Block(error), .. }] = &rig.commands()[..] else { panic!() };
    let reply = error.reply_to(crate::message::Message::new(r#"{"id":91,"method":"x"}"#).id());
    assert_eq!(
        String::from_utf8_lossy(reply.raw()),
        r#"{"jsonrpc":"2.0","id":91,"result":{"content":[{"type":"text","text":"{\"total\":0}"}],"structuredContent":{"total":0}}}"#
    );
    // What stands in the string is filled in as JSON.
    let mut rig = busy(120, 36);
    super::scenes::booked(&mut rig);
    let picture = rig.press("2 G B").picture();
    assert!(picture.contains("Answer in the server's place") && picture.contains("\"text\": @{"), "{picture}");
}

#[test]
fn request_that_was_answered_with_a_result_is_not_blocked() {
    let mut rig = Rig::new(120, 36);
    let mut call = World::new().call(1, 44, "book", "{}");
    rig.on_event(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
    rig.on_event(held(1, call.clone(), 1));
    rig.on_event(Event::Settled { ticket: Ticket(1) });
    (call.outcome, call.held) = (Outcome::Answered(Author::Operator), Some(1_000_000));
    rig.on_event(Event::Passed(Arc::new(call)));
    let picture = rig.picture();
    assert!(picture.contains("answered here  {}") && !picture.contains("blocked"), "{picture}");
    assert!(rig.press("2").picture().contains("answered by you after 1s"), "{}", rig.picture());
}

#[test]
fn compose_says_what_the_server_is_and_speaks_to_either_side() {
    let mut rig = busy(120, 36);
    super::scenes::booked(&mut rig);
    let picture = rig.press("C").picture();
    for expected in
        ["2025-11-25 can: tools, prompts", "instructions: Ask for the city first.", "template    file:///trips/{city}"]
    {
        assert!(picture.contains(expected), "{expected}: {picture}");
    }
    rig.typing("tools/list_changed").press("enter ctrl-s");
    let [Command::Speak { message, .. }] = &rig.commands()[..] else { panic!() };
    assert_eq!(message.raw(), r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed","params":{}}"#);
    rig.press("C").typing("roots/").press("enter ctrl-s");
    assert!(matches!(&rig.commands()[..], [Command::Send { message, .. }] if message.id().is_none()));
    assert!(rig.picture().contains("a notification: nothing comes back"), "{}", rig.picture());
    rig.press("esc");
    let mut world = World::new();
    world.seq = 1360;
    let changed = r#"{"jsonrpc":"2.0","method":"notifications/tools/list_changed"}"#;
    let changed = world.message(2, crate::envelope::Direction::ToClient, changed);
    rig.on_event(Event::Passed(Arc::new(changed)));
    assert!(rig.press("C").picture().contains("changed since they were listed: tools"), "{}", rig.picture());
}

/// What the line says beside the value that is typed.
fn beside(rig: &mut Rig) -> String {
    rig.picture().lines().find(|line| line.contains(" = ")).unwrap_or_default().to_owned()
}

#[test]
fn changed_id_is_warned_of_in_the_line_as_in_the_editor() {
    let mut rig = holding("{}");
    rig.press("2 tab home j c");
    assert!(beside(&mut rig).contains(".id = 44") && !beside(&mut rig).contains("changed"), "{}", rig.picture());
    rig.typing("45");
    assert!(beside(&mut rig).contains("id changed 44 -> 45, its sender cannot match the reply"), "{}", rig.picture());
    rig.press("ctrl-u").typing("44");
    assert!(!beside(&mut rig).contains("changed"), "{}", rig.picture());
    rig.press("tab").typing("ping");
    assert!(!beside(&mut rig).contains("changed"), "another method of the same kind: {}", rig.picture());
}

#[test]
fn schema_of_the_tool_is_held_against_what_is_typed() {
    let mut rig = busy(120, 36);
    super::scenes::booked(&mut rig);
    let picture = rig.press("2 G e").picture();
    assert!(picture.contains("JSON-RPC request") && picture.contains("schema book: ok"), "{picture}");
    let mut rig = busy(120, 36);
    super::scenes::booked(&mut rig);
    rig.press("2 G c tab tab").typing("3.5");
    assert!(beside(&mut rig).contains("3.5 is not of type \"integer\""), "{}", rig.picture());
    // Said, and not forbidden.
    let picture = rig.press("ctrl-o").picture();
    assert!(picture.contains("schema book: at `/seats`: 3.5 is not of type \"integer\""), "{picture}");
    rig.press("ctrl-s");
    assert!(sent(&mut rig).contains(r#""seats":3.5"#));
}

#[test]
fn editor_says_what_a_tool_takes_until_something_is_changed() {
    let mut rig = busy(120, 36);
    super::scenes::booked(&mut rig);
    let picture = rig.press("2 G e").picture();
    for line in ["arguments of book (* must be there)", "city*  string", "class*  one of ", "seats  integer, default 1"]
    {
        assert!(picture.contains(line), "{line}: {picture}");
    }
    let picture = rig.typing(" \"a\"").picture();
    assert!(picture.contains("no difference to show until") && picture.contains("seats  integer"), "{picture}");
    let picture = rig.press("ctrl-o ctrl-home end").typing("\"x\":1,").picture();
    assert!(!picture.contains("seats  integer"), "the difference has its place: {picture}");
    let mut rig = busy(120, 36);
    super::scenes::booked(&mut rig);
    assert!(!rig.press("2 G B").picture().contains("arguments of"), "a result is written: {}", rig.picture());
}

#[test]
fn tab_reaches_every_value_however_deep_it_is_folded() {
    let mut rig = holding(r#"{"who":{"addr":{"city":"Rome","geo":{"lat":1}}},"s":"{\"a\":[[1,{\"b\":3}]]}","z":0}"#);
    rig.press("2 c");
    let path = |rig: &Rig| rig.model.prompt.as_ref().unwrap().value.as_ref().unwrap().path.clone();
    let mut paths = vec![path(&rig)];
    for _ in 0..4 {
        rig.press("tab");
        paths.push(path(&rig));
    }
    let expected = ["who.addr.city", "who.addr.geo.lat", "s.a[0][0]", "s.a[0][1].b", "z"];
    assert_eq!(paths, expected.map(|path| format!(".params.arguments.{path}")));
    assert!(beside(&mut rig).contains(".z = 0"), "{}", rig.picture());
}
