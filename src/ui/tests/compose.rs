//! What a server offers: what it costs, what changed of it, and a call with its reply.

use std::sync::Arc;

use super::rig::{Rig, World, session, session_id, text_result};
use super::scenes::{offer, offer_anew, own_call};
use crate::envelope::{Direction, Via};
use crate::event::{Command, Event, Holding, Level, LogLine, Session};

/// A session in which nothing was listed.
fn begun() -> Rig {
    let mut rig = Rig::new(120, 36);
    rig.on_event(Event::SessionOpened(session(2, "web-srv", ("agent", "0.9"), Via::Http).into()));
    rig
}

fn offered() -> Rig {
    let mut rig = begun();
    offer(&mut rig);
    rig
}

#[test]
fn offers_say_what_they_cost() {
    let mut rig = offered();
    let picture = rig.press("C").picture();
    // A quarter of the bytes of each definition, as on the metrics screen and in lint.
    assert!(picture.contains("about 126 tokens: 2 tools 87, 1 prompt 16, 1 resource 10, 1 template 13"), "{picture}");
    assert!(picture.contains("77  Books a flight."), "{picture}");
    assert!(picture.contains("seats  integer, default 1") && picture.contains("class*  one of"), "{picture}");
}

/// Nobody has asked for anything: why that is so, and what asks.
#[test]
fn offers_say_why_there_are_none_and_ask_for_them() {
    for (width, height) in [(120, 36), (80, 24)] {
        let mut rig = Rig::new(width, height);
        rig.on_event(Event::SessionOpened(session(2, "web-srv", ("agent", "0.9"), Via::Http).into()));
        let mut world = World::new();
        let hello =
            world.message(2, Direction::ToServer, r#"{"jsonrpc":"2.0","id":1,"method":"initialize","params":{}}"#);
        let instructions = "Use it with care. ".repeat(60);
        let said = world.reply(&hello, 3, &format!(r#""result":{{"instructions":"{instructions}"}}"#));
        rig.on_event(Event::Passed(Arc::new(said)));
        let picture = rig.press("C").picture();
        assert!(picture.contains("nobody has asked for tools, prompts, resources, templates"), "{picture}");
        assert!(picture.contains("tools/list") && picture.contains("resources/templates/list"), "{picture}");
        rig.press("enter ctrl-s");
        let [Command::Send { message, .. }] = &rig.commands()[..] else { panic!("nothing is asked") };
        assert_eq!(message.method(), Some("tools/list"));
    }
}

#[test]
fn offers_are_those_of_another_session_of_the_server_where_this_one_has_none() {
    let mut rig = begun();
    for (number, upstream) in [(3, "http://127.0.0.1:9000/mcp"), (4, "http://127.0.0.1:9001/mcp")] {
        let opened = session(number, "web-srv", ("agent", "0.9"), Via::Http);
        rig.on_event(Event::SessionOpened(Session { upstream: upstream.into(), ..opened }.into()));
    }
    offer(&mut rig);
    rig.on_event(Event::SessionClosed { session: session_id(2), reason: "it left".to_owned() });
    let picture = rig.press("C").picture();
    assert!(picture.contains("nobody has asked for tools"), "{picture}");
    assert!(!picture.contains("ping_all"), "of another server: {picture}");
    rig.on_event(Event::SessionClosed { session: session_id(4), reason: "it left".to_owned() });
    let picture = rig.press("esc C").picture();
    let said = "tools, prompts, resources, templates as listed in another session of this server";
    assert!(picture.contains(said) && picture.contains("ping_all"), "{picture}");
    rig.typing("ping_all").press("enter ctrl-s");
    let [Command::Send { session, .. }] = &rig.commands()[..] else { panic!("nothing is called") };
    assert_eq!(*session, session_id(3), "it is called in the session that was chosen");
}

/// What a server says of itself is read in a narrow window, too.
#[test]
fn offers_say_what_the_server_says_in_rows_of_the_window() {
    let mut rig = Rig::new(80, 24);
    rig.on_event(Event::SessionOpened(session(2, "web-srv", ("agent", "0.9"), Via::Http).into()));
    offer(&mut rig);
    let picture = rig.press("C").picture();
    let heads: Vec<&str> = picture.lines().skip(3).take_while(|line| !line.contains(">tool")).collect();
    assert!(heads.iter().all(|line| !line.contains("..")), "{picture}");
    assert!(heads.concat().contains("1 prompt 16, 1 resource 10"), "{picture}");
}

#[test]
fn offers_are_found_by_letters_of_their_names_and_nothing_is_called_in_silence() {
    let mut rig = offered();
    let picture = rig.press("C").typing("pgall").picture();
    assert!(picture.contains(">tool        ping_all"), "{picture}");
    let picture = rig.typing("zz").press("enter").picture();
    assert!(rig.model.editor.is_none());
    assert!(picture.contains("nothing of the server is called so") && picture.contains("search: pgallzz"), "{picture}");
}

#[test]
fn changed_offers_are_marked_until_they_are_looked_at() {
    let mut rig = offered();
    let picture = rig.press("C").picture();
    assert!(!picture.contains("changed since you saw"), "{picture}");
    rig.press("esc");
    offer_anew(&mut rig);
    let picture = rig.press("C").picture();
    assert!(picture.contains("changed since you saw them: 3"), "{picture}");
    for expected in
        ["tool      * book", "tool      + cancel", "tool      - ping_all", ".inputSchema.properties.seats.default"]
    {
        assert!(picture.contains(expected), "{expected}: {picture}");
    }
    // The cursor stood on one, and goes to the next.
    let picture = rig.press("esc C down").picture();
    assert!(picture.contains("changed since you saw them: 2") && picture.contains("tool        book"), "{picture}");
    let picture = rig.press("esc C down down").picture();
    assert!(picture.contains("changed since you saw them: 1"), "{picture}");
    assert!(picture.contains("the server lists it no longer"), "{picture}");
    let picture = rig.press("esc C").picture();
    assert!(!picture.contains("changed since you saw") && !picture.contains("ping_all "), "{picture}");
}

#[test]
fn offers_follow_a_list_that_comes_while_they_are_looked_at() {
    let mut rig = offered();
    rig.press("C");
    offer_anew(&mut rig);
    let picture = rig.picture();
    for expected in ["changed since you saw them: 3", "tool      + cancel", "tool      - ping_all"] {
        assert!(picture.contains(expected), "{expected}: {picture}");
    }
}

/// What was listed before the screen was looked at first counts as seen; a change after that does not.
#[test]
fn change_before_the_first_look_is_marked_too() {
    let mut rig = offered();
    offer_anew(&mut rig);
    assert!(rig.press("C").picture().contains("changed since you saw them: 3"), "{}", rig.picture());
}

#[test]
fn list_of_several_pages_is_one() {
    let mut rig = begun();
    let mut world = World::new();
    world.seq = 1300;
    for (cursor, tool) in [("{}", "first_tool"), (r#"{"cursor":"2"}"#, "second_tool")] {
        let raw = format!(r#"{{"jsonrpc":"2.0","id":91,"method":"tools/list","params":{cursor}}}"#);
        let list = world.message(2, Direction::ToServer, &raw);
        let page = world.reply(&list, 3, &format!(r#""result":{{"tools":[{{"name":"{tool}"}}]}}"#));
        for envelope in [list, page] {
            rig.on_event(Event::Passed(Arc::new(envelope)));
        }
    }
    let picture = rig.press("C").picture();
    assert!(picture.contains("first_tool") && picture.contains("second_tool"), "{picture}");
    assert!(!picture.contains("changed since"), "{picture}");
}

/// It is the operator's: it is not held, and leaving the form does not take it back.
#[test]
fn own_call_says_what_it_passes_and_that_it_goes_on() {
    let mut rig = begun();
    rig.on_event(Event::Holding(Holding { on: true, filter: "~q".to_owned() }));
    rig.press("C enter");
    let picture = rig.picture();
    assert!(picture.contains("Diff against the form") && !picture.contains("bytes that came"), "{picture}");
    rig.press("esc");
    own_call(&mut rig);
    assert!(rig.picture().contains("sent, past the hold: what comes back is shown here"), "{}", rig.picture());
    rig.press("esc");
    let picture = rig.picture();
    assert!(picture.contains("#1320 goes on: it is in the list, and its reply will be, where `p` leads"), "{picture}");
}

/// A call from the form has its reply beside it: what it waits for, how far it is, what came back; and it can be changed and sent again.
#[test]
fn reply_stands_beside_its_call() {
    let mut rig = begun();
    let (mut world, call) = own_call(&mut rig);
    let picture = rig.picture();
    assert!(picture.contains("Waiting 0s") && picture.contains("3/10 asking airlines"), "{picture}");
    assert!(picture.contains(r#""city": "Rome""#), "the form stays: {picture}");
    // Another's reply is none to it.
    let other = world.call(2, 55, "book", "{}");
    let reply = world.reply(&other, 4, &text_result("another's"));
    for envelope in [other, reply] {
        rig.on_event(Event::Passed(Arc::new(envelope)));
    }
    assert!(rig.picture().contains("Waiting 0s"), "{}", rig.picture());
    rig.model.tick(rig.model.now.plus_micros(3_000_000));
    assert!(rig.picture().contains("Waiting 3s"), "{}", rig.picture());
    assert!(rig.model.next_tick().is_some(), "it grows older by itself");
    rig.on_event(Event::Passed(Arc::new(world.reply(&call, 3100, &text_result("booked\nseat 4")))));
    let picture = rig.picture();
    assert!(picture.contains("Reply #1324 after 3.1s"), "{picture}");
    assert!(picture.contains(" booked ") && picture.contains(" seat 4 "), "{picture}");
    // Once more, and it fails.
    rig.press("ctrl-s");
    assert_eq!(rig.commands().len(), 1);
    assert!(rig.picture().contains("Waiting 0s"), "{}", rig.picture());
    let mut again = call.clone();
    again.seq.0 = 1400;
    world.seq = 1400;
    rig.on_event(Event::Passed(Arc::new(again.clone())));
    let failed = r#""error":{"code":-32602,"message":"no such city"}"#;
    rig.on_event(Event::Passed(Arc::new(world.reply(&again, 10, failed))));
    let picture = rig.picture();
    assert!(picture.contains("Failed #1401 after 10ms") && picture.contains("no such city"), "{picture}");
    rig.press("esc");
    assert!(rig.model.editor.is_none());
}

/// One key gives up what waits; the form stays.
#[test]
fn own_call_is_given_up() {
    let mut rig = begun();
    let (mut world, call) = own_call(&mut rig);
    rig.model.now = rig.model.now.plus_micros(3_000_000);
    rig.commands();
    assert!(rig.picture().contains("ctrl k cancel the call"), "{}", rig.picture());
    let commands = rig.press("ctrl-k").commands();
    let id = call.message.id().unwrap();
    assert!(
        matches!(&commands[..], [Command::Cancel { session, id: it }] if *session == session_id(2) && it == id),
        "{commands:?}"
    );
    let picture = rig.picture();
    assert!(picture.contains("Cancelled after 3s") && picture.contains(r#""city": "Rome""#), "{picture}");
    assert!(!picture.contains("cancel the call"), "once only: {picture}");
    // What comes late is in the list.
    rig.on_event(Event::Passed(Arc::new(world.reply(&call, 3100, &text_result("booked")))));
    assert!(rig.picture().contains("Cancelled after 3s"), "{}", rig.picture());
    rig.press("esc");
    assert!(!rig.picture().contains("goes on"), "{}", rig.picture());
}

#[test]
fn call_that_gets_no_reply_says_why() {
    let mut rig = begun();
    own_call(&mut rig);
    let line = LogLine::new(Level::Error, "proxy", "the request you sent got no answer: connection refused");
    rig.on_event(Event::Log(LogLine { at: rig.model.now, ..line.of(session_id(2)) }));
    assert!(rig.picture().contains("got no answer: connection"), "{}", rig.picture());
}

#[test]
fn reply_of_content_that_is_no_text_says_what_it_is() {
    let mut rig = begun();
    let (mut world, call) = own_call(&mut rig);
    let result = r#""result":{"content":[{"type":"text","text":"a\u001b[31mb"},{"type":"image","mimeType":"image/png","data":"aGVsbG8h"}],"structuredContent":{"total":3}}"#;
    rig.on_event(Event::Passed(Arc::new(world.reply(&call, 10, result))));
    let picture = rig.picture();
    for expected in ["a\\x1b[31mb", "[image image/png, 6B]", "\"total\": 3"] {
        assert!(picture.contains(expected), "{expected}: {picture}");
    }
}
