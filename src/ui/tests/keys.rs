//! Keys in, commands out.

use std::sync::Arc;

use super::rig::{Rig, World, busy, busy_with, held, session, session_id, tapes, text_result};
use crate::envelope::{Author, Direction, Outcome, Seq, Via};
use crate::event::{
    BlockError, Command, Decision, EndStep, Event, OnQuit, Progress, ReplayEvent, ReplaySummary, Session, SessionState,
    Then, Ticket,
};
use crate::message::Message;
use crate::ui::model::{Change, Effect, Pane, ScreenKind};
use crate::ui::{Exit, ScreenInput, Settings};

/// The one command that the keys lead to.
fn command(rig: &mut Rig, keys: &str) -> Command {
    rig.commands();
    let mut commands = rig.press(keys).commands();
    assert_eq!(commands.len(), 1, "{keys}: {commands:?}");
    commands.remove(0)
}

fn settled(rig: &mut Rig, keys: &str) -> (Ticket, Decision, Then) {
    match command(rig, keys) {
        Command::Settle { ticket, decision, then } => (ticket, decision, then),
        other => panic!("{other:?}"),
    }
}

#[test]
fn queue_decides() {
    for (keys, expected) in [
        ("2 a", "Forward, Nothing"),
        ("2 s", "Forward, HoldNext"),
        ("2 o", "Forward, HoldReply"),
        ("2 d", "Drop, Nothing"),
        ("2 b enter", r#"Block(JsonRpc { code: -31001, message: "blocked by operator", data: None }), Nothing"#),
        ("2 X", r#"Block(JsonRpc { code: -31001, message: "blocked by operator", data: None }), Nothing"#),
        ("2 b down enter", r#"Block(JsonRpc { code: -32601, message: "Method not found", data: None }), Nothing"#),
        ("2 b down down down down enter", r#"Block(ToolResult { text: "blocked by operator" }), Nothing"#),
        ("2 e ctrl-s", "Forward, Nothing"),
    ] {
        let mut rig = busy(120, 36);
        let (ticket, decision, then) = settled(&mut rig, keys);
        assert_eq!(ticket, Ticket(1), "{keys}");
        assert_eq!(format!("{decision:?}, {then:?}"), expected, "{keys}");
    }
}

#[test]
fn client_is_kept_patient_where_it_asked_for_progress() {
    let mut rig = busy(140, 36);
    assert!(rig.press("2 K").commands().is_empty(), "it asks for none");
    assert!(rig.picture().contains("nothing makes its client wait longer"), "{}", rig.picture());
    // What is promised is what happens: tapline has no stream of its own to a client whose server is behind a URL.
    for (upstream, is_told, words) in
        [("http://127.0.0.1:9000/mcp", false, "cannot be told progress"), ("node files.js", true, "is told progress")]
    {
        let mut rig = Rig::new(140, 36);
        let from = Session { upstream: upstream.into(), ..session(1, "files-srv", ("ide", "1.4"), Via::Http) };
        rig.on_event(Event::SessionOpened(from.into()));
        let params = r#"{"name":"book","_meta":{"progressToken":7}}"#;
        let raw = format!(r#"{{"jsonrpc":"2.0","id":44,"method":"tools/call","params":{params}}}"#);
        rig.on_event(held(1, World::new().message(1, Direction::ToServer, &raw), 4));
        assert_eq!(rig.press("2 K").sent().contains("KeepPatient"), is_told, "{upstream}");
        assert!(rig.picture().contains(words), "{}", rig.picture());
    }
}

#[test]
fn restart_is_for_sessions_of_a_command() {
    let mut rig = busy(140, 36);
    let mut started = session(9, "own-srv", ("ide", "1.4"), Via::Http);
    started.upstream = "python -m server".into();
    rig.on_event(Event::SessionOpened(started.into()));
    assert!(rig.press("tab tab R j R").commands().is_empty(), "of all, and of one behind a URL");
    assert!(matches!(command(&mut rig, "j j j R"), Command::Restart(id) if id == session_id(9)));
    let mut narrow = busy(60, 24);
    let mut started = session(9, "own-srv", ("ide", "1.4"), Via::Http);
    started.upstream = "python -m server".into();
    narrow.on_event(Event::SessionOpened(started.into()));
    assert!(matches!(command(&mut narrow, "s j j j j R"), Command::Restart(id) if id == session_id(9)));
    assert!(matches!(command(&mut narrow, "p"), Command::Pause(id) if id == session_id(9)), "the popup stays");
}

#[test]
fn decision_moves_to_the_next_held_message_and_decides_none_twice() {
    let mut rig = busy(120, 36);
    rig.press("2 a a a");
    let commands = rig.commands();
    assert_eq!(commands.len(), 2, "{commands:?}");
    let Command::Settle { ticket, .. } = &commands[1] else { panic!("{commands:?}") };
    assert_eq!(*ticket, Ticket(2));
}

#[test]
fn held_message_is_forwarded_from_the_list() {
    let mut rig = busy(120, 36);
    let (ticket, ..) = settled(&mut rig, ": 1 1 9 7 enter a");
    assert_eq!(ticket, Ticket(1));
    assert!(matches!(command(&mut rig, "A"), Command::ForwardAll));
}

#[test]
fn edit_is_sent_compact_as_it_came() {
    let mut rig = busy(120, 36);
    rig.press("2 e");
    let editor = rig.model.editor.as_mut().unwrap();
    let text = editor.text().replace("/etc/hosts", "/tmp/x");
    editor.replace(&text);
    let (_, decision, _) = settled(&mut rig, "ctrl-s");
    let Decision::Edit(message) = decision else { panic!("{decision:?}") };
    assert_eq!(
        String::from_utf8_lossy(message.raw()),
        r#"{"jsonrpc":"2.0","id":44,"method":"tools/call","params":{"name":"write_file","arguments":{"path":"/tmp/x","text":"127.0.0.1 localhost"}}}"#
    );
}

#[test]
fn invalid_edit_is_sent_only_raw() {
    let mut rig = busy(120, 36);
    rig.press("2 e up up up up up up up up end backspace ctrl-s");
    assert_eq!(rig.sent(), "");
    assert!(rig.model.editor.is_some());
    let (_, decision, _) = settled(&mut rig, "ctrl-x");
    let Decision::Edit(message) = decision else { panic!("{decision:?}") };
    assert!(message.raw().starts_with(b"\n  \"jsonrpc\""), "{message:?}");
}

#[test]
fn draft_is_kept_sent_and_forgotten() {
    let mut rig = busy(120, 36);
    rig.press("2 e");
    let editor = rig.model.editor.as_mut().unwrap();
    let text = editor.text().replace("44", "45");
    editor.replace(&text);
    assert_eq!(editor.verdict.warning.as_deref(), Some("id changed 44 -> 45, its sender cannot match the reply"));
    rig.press("esc");
    assert!(rig.model.has_draft());
    rig.press("e");
    assert!(rig.model.editor.as_ref().unwrap().text().contains("45"));
    let (_, decision, _) = settled(&mut rig, "esc a");
    assert!(matches!(decision, Decision::Edit(message) if message.id().unwrap().token() == "45"));
    let mut rig = busy(120, 36);
    rig.press("2 e end backspace esc V");
    assert!(matches!(settled(&mut rig, "a").1, Decision::Forward));
}

#[test]
fn block_form_checks_what_is_filled_in() {
    let mut rig = busy(120, 36);
    rig.press("2 b tab ctrl-u").typing("x").press("enter");
    assert_eq!(rig.sent(), "");
    rig.press("ctrl-u").typing("-7").press("tab ctrl-u").typing("no").press("tab").typing("{").press("enter");
    assert_eq!(rig.sent(), "");
    rig.typing("}");
    let (_, decision, _) = settled(&mut rig, "enter");
    let expected = BlockError::JsonRpc { code: -7, message: "no".to_owned(), data: Some("{}".to_owned()) };
    assert!(matches!(decision, Decision::Block(error) if error == expected));
}

#[test]
fn past_request_is_sent_again_from_itself_or_its_reply() {
    for number in ["1 1 8 9", "1 1 9 0"] {
        let mut rig = busy(120, 36);
        let keys = format!(": {number} enter r");
        let Command::Send { session, message } = command(&mut rig, &keys) else { panic!("{keys}") };
        assert_eq!(session, session_id(1));
        assert_eq!(message.name(), Some("search"));
    }
    let mut rig = busy(120, 36);
    let Command::Send { message, .. } = command(&mut rig, ": 1 1 8 9 enter e ctrl-s") else { panic!() };
    assert_eq!(message.raw().len(), 115, "untouched, so the bytes that came");
}

#[test]
fn holding_is_typed_toggled_and_asked() {
    let mut rig = Rig::new(120, 36);
    let Command::SetHolding(holding) = command(&mut rig, "i enter") else { panic!() };
    assert_eq!((holding.on, holding.filter.as_str()), (true, "~m tools/call & ~q"));
    let mut rig = busy(120, 36);
    assert_eq!(rig.press("I").sent(), "", "held messages: it asks");
    let commands = rig.press("f").commands();
    assert!(matches!(&commands[..], [Command::SetHolding(holding), Command::ForwardAll] if !holding.on));
    let mut rig = busy(120, 36);
    rig.press("I");
    for ticket in [1, 2] {
        rig.on_event(Event::Settled { ticket: Ticket(ticket) });
    }
    let commands = rig.commands();
    assert!(matches!(&commands[..], [Command::SetHolding(holding)] if !holding.on), "none is left: {commands:?}");
    assert!(rig.model.popup.is_none());
}

#[test]
fn quitting_asks_only_while_something_is_held() {
    let quits = |rig: &mut Rig, keys: &str, expected| {
        rig.effects.clear();
        rig.press(keys);
        let [Effect::Command(Command::Quit { held })] = rig.effects[..] else { panic!("{keys}: {:?}", rig.effects) };
        assert_eq!(held, expected, "{keys}");
        rig.effects.clear();
        rig.on_event(Event::Stopping);
        assert!(matches!(rig.effects[..], [Effect::Exit(Exit::Quit)]), "{keys}: {:?}", rig.effects);
    };
    quits(&mut Rig::new(120, 36), "Q", OnQuit::Forward);
    quits(&mut busy(120, 36), "Q f", OnQuit::Forward);
    quits(&mut busy(120, 36), "Q x", OnQuit::Fail);
    quits(&mut busy(120, 36), "ctrl-c ctrl-c", OnQuit::Forward);
    let preset = Settings { on_quit: Some(OnQuit::Fail), ..Settings::default() };
    quits(&mut busy_with(120, 36, &preset), "Q", OnQuit::Fail);
    assert_eq!(busy(120, 36).press("Q esc ctrl-c j ctrl-c").sent(), "", "another key between takes it back");
}

#[test]
fn quitting_shows_what_it_waits_for_and_a_second_quit_forces_it() {
    let mut rig = busy(120, 36);
    rig.press("Q f").effects.clear();
    let progress = Progress { step: EndStep::Calls, waiting_for: 3, left: 4 };
    rig.on_event(Event::Ending(progress));
    assert!(rig.picture().contains(" ending: 3 calls, 4 s; Q forces "), "{}", rig.picture());
    for keys in ["Q", "ctrl-c"] {
        assert_eq!(rig.press(keys).sent(), "Quit { held: Forward }", "{keys}: nothing is asked");
        rig.effects.clear();
    }
    rig.change(Change::Input(ScreenInput::Terminate));
    assert!(rig.effects.is_empty(), "a terminal that goes away is no hurry");
}

#[test]
fn attached_screen_leaves_at_once() {
    let mut rig = Rig::with(120, 36, &Settings { attached: true, ..Settings::default() });
    rig.press("Q");
    assert!(matches!(rig.effects[..], [Effect::Command(Command::Quit { .. }), Effect::Exit(Exit::Quit)]));
}

#[test]
fn filter_is_applied_as_it_is_typed_and_taken_back() {
    let mut rig = busy(120, 36);
    let shown = |rig: &Rig| rig.model.list().len(rig.model.messages().0);
    rig.press("f").typing("~m tools/call");
    assert_eq!(shown(&rig), 8);
    rig.typing(" & (");
    assert_eq!(shown(&rig), 8, "the last good one stays");
    assert!(rig.model.prompt.as_ref().unwrap().error.is_some());
    rig.press("enter");
    assert!(rig.model.prompt.is_some(), "an error cannot be kept");
    rig.press("esc");
    assert_eq!(shown(&rig), 13);
    rig.press("f").typing("~e").press("enter T");
    assert_eq!(shown(&rig), 13);
    rig.press("T");
    assert_eq!(shown(&rig), 1);
    rig.press(": 1 1 9 3 enter");
    assert_eq!(rig.model.selected().unwrap().envelope.seq, Seq(1193), "asked for by number it is shown all the same");
}

#[test]
fn following_stops_and_counts_and_resumes() {
    let mut rig = busy(80, 24);
    rig.press("k k k");
    let mut world = World::new();
    world.seq = 1199;
    for _ in 0..3 {
        let call = world.call(1, 50, "search", "{}");
        rig.on_event(Event::Passed(Arc::new(call)));
    }
    assert_eq!(rig.model.list().unseen, 3);
    assert_eq!(rig.model.selected().unwrap().envelope.seq, Seq(1196), "the cursor stays on its message");
    assert!(rig.picture().contains("3 new below"));
    for _ in 0..4 {
        rig.press("j");
        let (rows, list) = rig.model.messages();
        assert_eq!(list.unseen, (list.len(rows) - list.top - list.height).min(3), "what is in sight is not below");
    }
    assert!(rig.model.list().unseen < 3);
    rig.press("G");
    assert_eq!((rig.model.list().unseen, rig.model.selected().unwrap().envelope.seq), (0, Seq(1202)));
}

#[test]
fn counts_of_a_session_that_have_no_room_in_a_line_stand_in_two() {
    let mut rig = busy(120, 36);
    rig.press("k k k");
    let mut world = World::new();
    world.seq = 1400;
    for number in 0..1_000 {
        let call = world.call(1, 100 + number, "search", "{}");
        let failed = world.reply(&call, 1, r#""error":{"code":1,"message":"no"}"#);
        rig.on_event(Event::Passed(Arc::new(call)));
        rig.on_event(Event::Passed(Arc::new(failed)));
    }
    let picture = rig.picture();
    for expected in ["│   2,010 msgs +2,000     │", "│   2 held  1,001 err     │"] {
        assert!(picture.contains(expected), "{expected}: {picture}");
    }
}

#[test]
fn unread_is_counted_for_each_session() {
    let mut rig = busy(120, 36);
    rig.press("s j enter");
    let mut world = World::new();
    world.seq = 1199;
    for session in [1, 2, 2] {
        let call = world.call(session, 50, "search", "{}");
        rig.on_event(Event::Passed(Arc::new(call)));
    }
    let unread: Vec<u64> = rig.model.observed.sessions.all().iter().map(|row| row.unread).collect();
    assert_eq!(unread, [0, 2, 0]);
    rig.press("s k enter");
    assert_eq!(rig.model.observed.sessions.all()[1].unread, 0);
}

#[test]
fn session_is_paused_and_resumed() {
    let mut rig = Rig::new(120, 36);
    let mut files = session(1, "files-srv", ("ide", "1.4"), Via::Http);
    rig.on_event(Event::SessionOpened(files.clone().into()));
    rig.model.pane = Pane::Sessions;
    assert_eq!(rig.press("p").sent(), "", "these are all sessions");
    assert!(rig.press("j p").sent().starts_with("Pause("));
    assert!(rig.picture().contains("p pause"), "{}", rig.picture());
    files.state = SessionState::Paused;
    rig.on_event(Event::SessionChanged(files.clone().into()));
    let picture = rig.picture();
    assert!(picture.contains("paused") && picture.contains("p resume"), "{picture}");
    assert!(rig.press("p").sent().contains("Resume("));
    for (state, shown) in [
        (SessionState::Failed { why: "it ended".to_owned() }, "restarting: it ended"),
        (SessionState::Closing { reason: "idle for 24h".to_owned() }, "closing: idle for 24h"),
    ] {
        files.state = state;
        rig.on_event(Event::SessionChanged(files.clone().into()));
        assert!(rig.picture().contains(shown), "{}", rig.picture());
        assert!(!rig.press("p").sent().contains("Pause("), "not in that state");
    }
}

/// What is wrapped on the screen cannot be taken from there with the mouse.
#[test]
fn line_of_curl_is_copied_while_nothing_has_passed() {
    let mut rig = Rig::new(80, 24);
    rig.on_event(Event::Listening { url: "http://127.0.0.1:7070/mcp".to_owned(), upstream: "srv".to_owned() });
    assert!(rig.picture().contains("`y` copies"), "{}", rig.picture());
    rig.press("y");
    let Some(Effect::Copy(text)) = rig.effects.pop() else { panic!("{:?}", rig.effects) };
    assert!(text.starts_with("curl -sS http://127.0.0.1:7070/mcp -H") && text.ends_with("}}}'"), "{text}");
    rig.on_event(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
    let passed = World::new().call(1, 1, "search", "{}");
    rig.on_event(Event::Passed(Arc::new(passed)));
    assert!(rig.press("y y").effects.iter().any(|it| matches!(it, Effect::Copy(text) if text.contains("search"))));
}

#[test]
fn reason_that_is_longer_than_its_two_lines_says_so() {
    let mut rig = Rig::new(120, 36);
    let mut files = session(1, "files-srv", ("ide", "1.4"), Via::Http);
    let reason = "it was never initialized: its server answered otherwise".to_owned();
    files.state = SessionState::Closed { reason };
    rig.on_event(Event::SessionOpened(files.into()));
    let picture = rig.picture();
    let second = picture.lines().find(|line| line.contains("initialized")).unwrap().split('│').nth(1).unwrap();
    assert!(second.trim_end().ends_with(".."), "{picture}");
}

#[test]
fn sessions_of_several_upstreams_say_which_they_are_of() {
    let mut rig = Rig::new(120, 36);
    let of = |n, name: &str| {
        let upstream_name = Some(name.to_owned());
        Event::SessionOpened(Session { upstream_name, ..session(n, "files-srv", ("ide", "1.4"), Via::Http) }.into())
    };
    rig.on_event(of(1, "home"));
    rig.on_event(of(2, "home"));
    assert!(!rig.picture().contains("home"), "one upstream needs no name");
    rig.on_event(of(3, "work"));
    let picture = rig.picture();
    for name in ["home: files-srv", "work: files-srv"] {
        assert!(picture.contains(name), "{picture}");
    }
}

#[test]
fn row_says_when_its_client_left() {
    let mut rig = Rig::new(120, 36);
    rig.on_event(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
    let mut world = World::new();
    let call = world.call(1, 44, "write_file", "{}");
    rig.on_event(held(1, call.clone(), 3));
    rig.press("2 e");
    let mut gone = call;
    gone.outcome = Outcome::Abandoned;
    gone.held = Some(3_000_000);
    rig.on_event(Event::Settled { ticket: Ticket(1) });
    rig.on_event(Event::Passed(Arc::new(gone)));
    assert!(rig.picture().contains("not held any more"));
    let queue = rig.press("esc").picture();
    assert!(queue.contains("given up after 3.0s"), "{queue}");
    let list = rig.press("1").picture();
    assert!(list.contains("given up while held"), "{list}");
    assert_eq!(rig.model.observed.rows.len(), 1, "the same row, replaced");
}

#[test]
fn pair_is_one_key_away() {
    let mut rig = busy(120, 36);
    let at = |rig: &mut Rig, keys: &str| rig.press(keys).model.selected().unwrap().envelope.seq.0;
    assert_eq!(at(&mut rig, ": 1 1 9 4 enter p"), 1195);
    assert_eq!(at(&mut rig, "p"), 1194);
    assert_eq!(at(&mut rig, "g e"), 1195);
    assert_eq!(at(&mut rig, "g h"), 1197);
    assert_eq!(at(&mut rig, "g g"), 1187);
}

#[test]
fn reply_is_beside_its_request_at_once() {
    let mut rig = Rig::new(120, 36);
    rig.on_event(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
    let mut world = World::new();
    let call = world.call(1, 44, "read_file", "{}");
    rig.on_event(Event::Passed(Arc::new(call.clone())));
    rig.press("F");
    assert!(rig.picture().contains("▸8s"), "open for so long");
    assert!(!rig.picture().contains("Pair"));
    let reply = world.reply(&call, 12, &text_result("new"));
    rig.on_event(Event::Passed(Arc::new(reply)));
    assert!(rig.picture().contains("Pair"));
    assert!(!rig.picture().contains("▸8s"));
    assert!(rig.press("enter l l l").picture().contains(r#"text  "new""#));
}

#[test]
fn copy_takes_each_kind_of_thing() {
    for (keys, expected) in [
        (": 1 1 8 9 enter y i", "41"),
        (
            ": 1 1 8 9 enter y y",
            r#"{"jsonrpc":"2.0","id":41,"method":"tools/call","params":{"name":"search","arguments":{"query":"retry","limit":20}}}"#,
        ),
        (": 1 1 8 9 enter enter j j y p", ".method"),
        (": 1 1 8 9 enter enter j j y v", "tools/call"),
        (": 1 1 9 5 enter y b", "{\n  \"code\": -32603,\n  \"message\": \"not a repository\"\n}"),
    ] {
        let mut rig = busy(120, 36);
        rig.press(keys);
        assert!(matches!(&rig.effects[..], [Effect::Copy(text)] if text == expected), "{keys}: {:?}", rig.effects);
    }
}

#[test]
fn write_and_export_take_each_kind_of_thing() {
    for (keys, file, expected) in [
        (": 1 1 8 9 enter w w", "tapline-1189-message.json", r#"{"jsonrpc":"2.0","id":41,"method":"tools/call""#),
        (": 1 1 9 5 enter w b", "tapline-1195-body.json", "{\n  \"code\": -32603,"),
        (": 1 1 8 9 enter enter j j w v", "tapline-1189-value.txt", "tools/call"),
        (
            ": 1 1 8 9 enter w m",
            "tapline-1189-message.md",
            "**#1189** client to server, `tools/call` `search`\n\n```json\n{\n",
        ),
        ("w j", "tapline-messages.jsonl", "{\"seq\":"),
        ("w h", "tapline-messages.har", "13 of http://127.0.0.1:9000/mcp"),
        ("2 w w", "", r#"{"jsonrpc":"2.0""#),
    ] {
        let mut rig = busy(120, 36);
        rig.press(keys);
        let [.., Effect::Save { name, bytes }] = &rig.effects[..] else { panic!("{keys}: {:?}", rig.effects) };
        assert!(file.is_empty() || name == file, "{keys}: {name}");
        let text = String::from_utf8_lossy(bytes);
        assert!(text.starts_with(expected), "{keys}: {text}");
    }
}

#[test]
fn curl_sends_the_request_again_and_keeps_secrets() {
    let mut rig = busy(120, 36);
    rig.on_event(Event::Listening { url: "http://127.0.0.1:7070/mcp".to_owned(), upstream: "srv".to_owned() });
    // Of a reply it is the request.
    for keys in [": 1 1 8 9 enter y c", ": 1 1 9 0 enter y c"] {
        rig.press(keys);
        let Some(Effect::Copy(text)) = rig.effects.pop() else { panic!("{keys}: {:?}", rig.effects) };
        assert!(
            text.starts_with("curl -sS 'http://127.0.0.1:7070/mcp' \\\n  -H 'content-type: application/json'"),
            "{text}"
        );
        assert!(text.contains("--data-binary '{\"jsonrpc\":\"2.0\",\"id\":41"), "{text}");
    }
}

#[test]
fn suspend_and_pager_leave_the_screen() {
    let mut rig = busy(120, 36);
    rig.press("ctrl-z");
    assert!(matches!(rig.effects[..], [Effect::Suspend(word)] if word.contains("`fg`")), "{:?}", rig.effects);
    let mut rig = busy(120, 36);
    rig.press(": 1 1 8 9 enter v");
    assert!(
        matches!(&rig.effects[..], [Effect::Page(text)] if text.contains("\n  \"method\": \"tools/call\"")),
        "{:?}",
        rig.effects
    );
    // In the editor it is undo.
    rig.effects.clear();
    rig.press("2 e ctrl-z");
    assert!(rig.effects.iter().all(|effect| !matches!(effect, Effect::Suspend(_))), "{:?}", rig.effects);
}

#[test]
fn tapes_are_listed_opened_and_played() {
    let mut rig = busy(120, 36);
    assert!(matches!(command(&mut rig, "4"), Command::ListTapes));
    rig.on_event(Event::Tapes(tapes()));
    assert!(
        matches!(command(&mut rig, "j enter"), Command::OpenTape(path) if path.ends_with("20260314T100400Z-127.0.0.1-9000-1f2e3d4c.tape.jsonl"))
    );
    assert!(matches!(command(&mut rig, "space"), Command::Replay(_)));
    for event in super::pictures::replay() {
        rig.on_event(Event::Replay(event));
    }
    assert!(matches!(command(&mut rig, "space"), Command::StopReplay));
    let stopped = ReplaySummary { passed: 3, failed: 1, stopped: true, ..ReplaySummary::default() };
    rig.on_event(Event::Replay(ReplayEvent::Finished(stopped)));
    let shown = rig.picture();
    assert!(shown.contains("replay stopped: 3 passed, 1 failed, the rest was not played"), "{shown}");
    rig.press("n");
    assert_eq!(rig.model.step().unwrap().step, 3);
    assert!(matches!(command(&mut rig, "tab enter"), Command::OpenTape(path) if path.ends_with("demo.tape.jsonl")));
}

#[test]
fn escape_leads_out_of_everything() {
    let mut rig = busy(120, 36);
    rig.press("enter +");
    assert_eq!((rig.model.pane, rig.model.zoomed), (Pane::Detail, true));
    rig.press("esc esc 2 enter q q");
    assert_eq!((rig.model.pane, rig.model.zoomed, rig.model.screen), (Pane::List, false, ScreenKind::Messages));
    assert_eq!(rig.sent(), "");
}

#[test]
fn edited_reply_shows_what_changed() {
    let mut rig = Rig::new(120, 36);
    rig.on_event(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
    let mut world = World::new();
    let call = world.call(1, 44, "read_file", "{}");
    let mut reply = world.reply(&call, 12, &text_result("new"));
    reply.original = Some(Message::new(String::from_utf8_lossy(reply.message.raw()).replace("new", "old")));
    reply.outcome = Outcome::Edited(Author::Operator);
    assert_eq!(reply.direction, Direction::ToClient);
    rig.on_event(Event::Passed(Arc::new(call)));
    rig.on_event(Event::Passed(Arc::new(reply)));
    let picture = rig.press("enter h h").picture();
    assert!(
        picture.contains(r#"-         "text": "old""#) && picture.contains(r#"+         "text": "new""#),
        "{picture}"
    );
}

#[test]
fn first_held_message_says_what_to_press() {
    let mut rig = Rig::new(120, 36);
    let mut world = World::new();
    let call = world.call(1, 1, "write_file", "{}");
    rig.on_event(held(1, call, 0));
    let picture = rig.picture();
    assert!(picture.contains("tools/call write_file is held: `2` shows it"), "{picture}");
}

#[test]
fn quit_question_answers_itself_when_nothing_is_held() {
    let mut rig = Rig::new(120, 36);
    let mut world = World::new();
    let call = world.call(1, 1, "write_file", "{}");
    rig.on_event(held(1, call, 0));
    rig.press("Q");
    assert_eq!(rig.sent(), "");
    rig.on_event(Event::Settled { ticket: Ticket(1) });
    assert_eq!(rig.sent(), "Quit { held: Forward }");
}

#[test]
fn tape_is_renamed_noted_and_deleted_after_a_question() {
    let mut rig = busy(120, 36);
    rig.press("4");
    rig.on_event(Event::Tapes(tapes()));
    rig.sent();
    rig.press("R ctrl-u").typing("login-fails").press("enter");
    assert!(rig.sent().contains(r#"demo.tape.jsonl", edit: Rename("login-fails")"#));
    rig.press(";").typing("why?").press("enter");
    assert!(rig.sent().contains(r#"edit: Note("why?")"#));
    assert_eq!(rig.press("d enter").sent(), "", "a question that enter says no to");
    rig.press("d");
    assert!(rig.picture().contains("Delete demo?"), "{}", rig.picture());
    let picture = rig.press("esc j d").picture();
    assert!(picture.contains("Delete 20260314T100400Z-127.0.0.1-9000-1f2e3d4c?"), "{picture}");
    rig.resize(40, 24);
    let picture = rig.picture();
    assert!(
        picture.contains("Delete 20260314..") && picture.contains("-1f2e3d4c?"),
        "both its ends tell it: {picture}"
    );
    rig.resize(120, 36);
    rig.press("esc k d");
    assert!(rig.press("y").sent().contains("edit: Delete"));
    // One that is being written to stays.
    let recorded = session(7, "files-srv", ("ide", "1.4"), Via::Http);
    let path = std::path::Path::new("/tapes/demo.tape.jsonl");
    rig.on_event(Event::SessionOpened(Session { tape: Some(path.into()), ..recorded }.into()));
    assert_eq!(rig.press("d y").sent(), "");
    for key in ["d", "R", ";"] {
        assert!(rig.press(key).picture().contains("a session is being recorded"), "{key}: {}", rig.picture());
        assert!(rig.model.prompt.is_none(), "{key}: nothing is asked that cannot be done");
    }
}

#[test]
fn key_of_the_screen_that_is_shown_says_so() {
    let mut rig = busy(120, 36);
    for (key, what) in [("1", "the live messages"), ("2", "the hold queue"), ("4", "tapes, to read and to play")] {
        rig.press(key).press(key);
        let said = format!("`{key}`: you are there already, this screen shows {what}");
        assert!(rig.picture().contains(&said), "{}", rig.picture());
    }
}

#[test]
fn help_tells_each_key_once_where_it_works() {
    let mut rig = busy(120, 36);
    let picture = rig.press("?").typing("close the tape").picture();
    assert!(!picture.contains("q, esc"), "no tape is open: {picture}");
    let picture = rig.press("esc : 1 1 9 3 enter enter ?").typing("long string").picture();
    assert_eq!(picture.matches("read the long string").count(), 1, "{picture}");
}

#[test]
fn tapes_are_sorted_and_the_cursor_stays_on_its_tape() {
    let mut rig = busy(120, 36);
    rig.press("4");
    rig.on_event(Event::Tapes(tapes()));
    let names = |rig: &Rig| {
        let list = rig.model.tapes.list.as_ref().unwrap();
        list.iter().map(|tape| tape.messages).collect::<Vec<_>>()
    };
    assert_eq!(names(&rig), [1204, 42, 310]);
    rig.press("j o");
    assert_eq!((names(&rig), rig.model.tapes.selected().unwrap().messages), (vec![1204, 310, 42], 42));
    assert!(rig.picture().contains("Tapes 3 largest first"), "{}", rig.picture());
    rig.press("O");
    assert_eq!(names(&rig), [42, 310, 1204]);
    rig.press("o o");
    assert_eq!(names(&rig), [42, 1204, 310], "by name");
    // A new list of them comes in this order too.
    rig.on_event(Event::Tapes(tapes()));
    assert_eq!((names(&rig), rig.model.tapes.selected().unwrap().messages), (vec![42, 1204, 310], 42));
}
