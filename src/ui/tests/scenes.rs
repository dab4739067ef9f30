//! Every screen, form, menu and question, each as the keys that lead to it: what is photographed, and where keys are tried.

use std::path::PathBuf;
use std::sync::Arc;

use super::branching::{rewound, tape_tree};
use super::comparing::{asked_to_compare, compared, unreadable};
use super::metrics::measure;
use super::pictures::replay;
use super::rig::{Rig, START, World, busy_events, held, served, session, session_id, tapes, text_result};
use crate::envelope::{Author, Direction, Envelope, Outcome, Seq, Via};
use crate::event::figures::Figures;
use crate::event::{
    Command, Event, Finding, Level, LintLevel, LogLine, RuleStatus, Session, TapeEnd, TapePart, Ticket,
};

/// A name, and what leads there from the busy rig.
pub(super) type Scene = (&'static str, fn(&mut Rig));

pub(super) const SCENES: &[Scene] = &[
    // Screens.
    ("messages", |rig| {
        rig.press("k k k k k k");
    }),
    ("detail", |rig| {
        rig.press(": 1 1 9 3 enter enter j j");
    }),
    ("diff", |rig| {
        rig.press(": 1 1 9 3 enter enter h h");
    }),
    ("content", |rig| {
        content(rig);
    }),
    ("pairs", |rig| {
        rig.press("P : 1 1 8 9 enter");
    }),
    ("notes", |rig| {
        rig.press(": 1 1 8 9 enter m : 1 1 9 5 enter ;").typing("why?").press("enter o");
    }),
    ("tool-list", |rig| {
        offer(rig);
        rig.press("g e j j j enter");
    }),
    ("queue", queue),
    ("tapes", played),
    ("tape-served", |rig| {
        rig.press("4");
        rig.on_event(Event::Tapes(tapes()));
        rig.on_event(served());
    }),
    ("play-options", |rig| {
        rig.press("4");
        rig.on_event(Event::Tapes(tapes()));
        rig.press("e down right");
    }),
    ("export", |rig| {
        rig.press("4");
        rig.on_event(Event::Tapes(tapes()));
        rig.press("x");
    }),
    ("open-tape", open_tape),
    ("tape-tree", tape_tree),
    ("rewound", rewound),
    ("compared", |rig| {
        compared(rig);
        rig.press("j j j j");
    }),
    ("compared-unreadable", |rig| {
        asked_to_compare(rig);
        rig.on_event(Event::Compared(unreadable()));
    }),
    ("metrics", |rig| {
        measure(rig);
        rig.press("5");
    }),
    ("events", events),
    ("lint", lint),
    ("rules", |rig| {
        rules(rig);
        rig.press("3 j");
    }),
    ("rules-none", |rig| {
        rig.press("3");
    }),
    ("rule-edited", |rig| {
        rules(rig);
        rig.press("3 e");
    }),
    ("rule-faults", |rig| {
        rules(rig);
        rig.press("3 n").typing("rate limit").press("down end backspace").typing(" ~tol x\"").press("down end enter");
        rig.typing("evry = 2");
    }),
    ("searched", |rig| {
        rig.press("/").typing("read").press("enter");
    }),
    ("pager", |rig| {
        rig.press(": 1 1 9 3 enter enter j j j j j j enter");
    }),
    ("compare", |rig| {
        rig.press(": 1 1 8 9 enter d : 1 1 9 1 enter d");
    }),
    ("timeline", |rig| {
        rig.press(": 1 1 8 9 enter g t");
    }),
    ("sequence", |rig| {
        rig.press(": 1 1 8 9 enter g d");
    }),
    ("why", |rig| {
        rig.press(": 1 1 9 6 enter g w");
    }),
    // Forms.
    ("editor", |rig| {
        rig.press("2 e");
        let editor = rig.model.editor.as_mut().unwrap();
        let text = editor.text().replace("/etc/hosts", "/tmp/hosts");
        editor.replace(&text);
    }),
    ("editor-fault", |rig| {
        rig.press("2 e up up up up up end backspace");
    }),
    ("value", |rig| {
        booked(rig);
        rig.press("2 G c tab");
    }),
    ("answer", |rig| {
        booked(rig);
        rig.press("2 G B");
    }),
    ("block", |rig| {
        rig.press("2 b down tab");
    }),
    ("rule", |rig| {
        rig.press(": 1 1 9 3 enter R");
    }),
    ("compose", |rig| {
        offer(rig);
        rig.press("C");
    }),
    ("compose-changed", |rig| {
        offer(rig);
        rig.press("C esc");
        offer_anew(rig);
        rig.press("C");
    }),
    ("call-waits", |rig| {
        own_call(rig);
        rig.model.now = START.plus_micros(23_000_000);
    }),
    ("call-answered", |rig| {
        let (mut world, call) = own_call(rig);
        let found: String = (1..60).map(|n| format!("flight {n} to Rome\n")).collect();
        rig.on_event(Event::Passed(Arc::new(world.reply(&call, 2100, &text_result(&found)))));
    }),
    // Lines.
    ("filter", |rig| {
        rig.press("f").typing("~m tools/");
    }),
    ("history", |rig| {
        rig.press("f").typing("~e").press("enter f ctrl-u").typing("~q & ~tool git").press("enter f ctrl-u up up");
    }),
    ("saved-filter", |rig| {
        rig.press("f").typing("~tool git").press("enter :").typing("filter save git").press("enter f ctrl-u");
        rig.typing("@git");
    }),
    ("completion", |rig| {
        rig.press("f").typing("~q & ~tool ").press("tab tab");
    }),
    ("hold", |rig| {
        rig.press("f").typing("~e").press("enter i");
    }),
    ("search", |rig| {
        rig.press("/").typing("read");
    }),
    ("palette", |rig| {
        rig.press(":").typing("copy");
    }),
    ("pipe", |rig| {
        rig.press(": 1 1 8 9 enter |").typing("jq .");
    }),
    ("piping", |rig| {
        rig.press(": 1 1 8 9 enter |").typing("tail -f").press("enter");
    }),
    ("comment", |rig| {
        rig.press(": 1 1 8 9 enter ;").typing("why?");
    }),
    // Menus.
    ("prefix", |rig| {
        rig.press("g");
    }),
    ("fold", |rig| {
        rig.press(": 1 1 9 3 enter enter z");
    }),
    ("copy", |rig| {
        rig.press(": 1 1 9 3 enter enter j j y");
    }),
    ("write", |rig| {
        rig.press(": 1 1 9 3 enter enter j j w");
    }),
    ("toggle", |rig| {
        rig.press("t");
    }),
    ("sessions", |rig| {
        rig.press("s j j");
    }),
    ("help", |rig| {
        rig.press("2 ?");
    }),
    // Questions.
    ("quit", |rig| {
        rig.press("Q");
    }),
    ("hold-off", |rig| {
        rig.press("I");
    }),
    ("rule-removed", |rig| {
        rules(rig);
        rig.press("3 D");
    }),
    ("tape-name", |rig| {
        listed_tapes(rig);
        rig.press("R").typing("-2");
    }),
    ("tape-note", |rig| {
        listed_tapes(rig);
        rig.press(";").typing("why?");
    }),
    ("tape-delete", |rig| {
        listed_tapes(rig);
        rig.press("d");
    }),
    ("forward-all", |rig| {
        many_held(rig);
        rig.press("A");
    }),
];

/// Places that look like one of the scenes and are needed only to try their keys.
pub(super) const PLACES: &[Scene] = &[
    ("session of a command", |rig| {
        command_session(rig);
        rig.press("tab tab G");
    }),
    ("session of a command, chosen", |rig| {
        command_session(rig);
        rig.press("s j j j j");
    }),
    ("a mark to be taken back", |rig| {
        rig.press(": 1 1 8 9 enter m");
    }),
    ("a rule to be brought back", |rig| {
        rules(rig);
        rig.press("3 D y");
    }),
    ("a draft to be taken back", |rig| {
        rig.press("2 e").typing("x").press("esc");
    }),
    ("long string in tree", |rig| {
        rig.press(": 1 1 9 3 enter enter j j j j j j");
    }),
    ("tapes at their end", |rig| {
        rig.press("4");
        rig.on_event(Event::Tapes(tapes()));
        for event in replay() {
            rig.on_event(Event::Replay(event));
        }
    }),
    ("a step that differs", |rig| {
        played(rig);
        rig.press("tab");
    }),
    ("line of no message", |rig| {
        events(rig);
        rig.press("k k k");
    }),
    ("found", |rig| {
        lint(rig);
        rig.press("j");
    }),
    ("open branch", |rig| {
        rig.press(": 1 1 9 3 enter enter j j z");
    }),
    ("folded branch", |rig| {
        rig.press(": 1 1 9 3 enter enter j j z c z");
    }),
    ("second preset", |rig| {
        rig.press("2 b down");
    }),
    ("second rule", |rig| {
        rules(rig);
        rig.press("3 j");
    }),
    ("rule being written", |rig| {
        rules(rig);
        rig.press("3 n").typing("x");
    }),
    ("rule gone back", |rig| {
        rules(rig);
        rig.press("3 n").typing("x").press("ctrl-z");
    }),
    ("several pages", |rig| {
        rig.press(": 1 1 9 3 enter enter j j j j j j enter pgdn");
    }),
    ("list", |rig| {
        rig.press("f").typing("~m tools/").press("enter : 1 1 9 3 enter");
    }),
    ("list below", |rig| {
        rig.press("k k k k");
    }),
    ("top", |rig| {
        rig.press("home");
    }),
    ("marked", |rig| {
        rig.press(": 1 1 8 9 enter m m k k");
    }),
    ("tree", |rig| {
        rig.press(": 1 1 9 1 enter enter j");
    }),
    ("value in tree", |rig| {
        rig.press(": 1 1 9 7 enter enter j j");
    }),
    ("sessions pane", |rig| {
        rig.press("tab tab j");
    }),
    ("held", |rig| {
        rig.press(": 1 1 9 7 enter c").typing("x").press("enter");
    }),
    ("queue with a draft", |rig| {
        rig.press("2 c").typing("x").press("enter");
    }),
    ("queue", |rig| {
        rig.press("2");
    }),
    ("queue detail", |rig| {
        rig.press("2 tab j");
    }),
    ("tapes", |rig| {
        rig.press("4");
        rig.on_event(Event::Tapes(tapes()));
        rig.press("j");
    }),
    ("steps", |rig| {
        played(rig);
        rig.press("tab");
    }),
    ("two tapes", compared),
    ("metrics", |rig| {
        measure(rig);
        rig.press("5 ]");
    }),
    ("about a message", |rig| {
        events(rig);
        rig.press("6 home j");
    }),
    ("narrow editor", |rig| {
        rig.resize(80, 24);
        rig.press("2 e").typing("x");
    }),
    ("editor searched", |rig| {
        rig.press("2 e f3").typing("\"").press("enter");
    }),
    ("editor gone back", |rig| {
        rig.press("2 e").typing("x").press("ctrl-z");
    }),
    ("gone while edited", |rig| {
        rig.press("2 e").typing("x");
        rig.on_event(Event::Settled { ticket: Ticket(1) });
    }),
    ("second value", |rig| {
        rig.press("2 c tab");
    }),
    ("second field", |rig| {
        rig.press("2 b tab down");
    }),
    ("second row", |rig| {
        offer(rig);
        rig.press("C down");
    }),
    ("rule of a call", |rig| {
        rig.press(": 1 1 8 9 enter R down");
    }),
    ("second action", |rig| {
        rig.press(": 1 1 8 9 enter R right");
    }),
    ("reply below", |rig| {
        let (mut world, call) = own_call(rig);
        let found: String = (1..90).map(|n| format!("flight {n} to Rome\n")).collect();
        rig.on_event(Event::Passed(Arc::new(world.reply(&call, 2100, &text_result(&found)))));
        rig.press("pgdn");
    }),
    ("newer filters", |rig| {
        rig.press("f").typing("~e").press("enter f ctrl-u").typing("~q").press("enter f ctrl-u up up");
    }),
    ("hold completed", |rig| {
        rig.press("i ctrl-u").typing("~c").press("tab");
    }),
    ("newer hold filters", |rig| {
        rig.press("f").typing("~e").press("enter f ctrl-u").typing("~q").press("enter i up up");
    }),
    ("second command", |rig| {
        rig.press(":").typing("copy").press("down down");
    }),
    ("long text below", |rig| {
        rig.press(": 1 1 9 3 enter enter j j j j j j enter pgdn j");
    }),
    ("session picked", |rig| {
        rig.press("s j");
    }),
    ("help below", |rig| {
        rig.press("? pgdn down");
    }),
    ("help searched", |rig| {
        rig.press("?").typing("resend");
    }),
    ("folded", |rig| {
        rig.press(": 1 1 9 3 enter enter j j z c z");
    }),
    ("folds of all", |rig| {
        rig.press(": 1 1 9 3 enter enter z M z");
    }),
    ("go in a list", |rig| {
        rig.press("home g");
    }),
    ("go at its end", |rig| {
        rig.press(": 1 1 9 6 enter g");
    }),
    ("toggles of a filter", |rig| {
        rig.press("f").typing("~m tools/").press("enter t");
    }),
];

/// What the servers list: a tool whose arguments have types, one without, a prompt, a resource and a template.
pub(super) fn offer(rig: &mut Rig) {
    let mut world = World::new();
    world.seq = 1299;
    for (method, result) in [
        (
            "initialize",
            r#""result":{"protocolVersion":"2025-11-25","capabilities":{"tools":{"listChanged":true},"prompts":{}},"serverInfo":{"name":"web-srv"},"instructions":"Ask for the city first."}"#,
        ),
        (
            "tools/list",
            r#""result":{"tools":[{"name":"book","description":"Books a flight.\nSlowly.","inputSchema":{"type":"object","properties":{"city":{"type":"string"},"class":{"enum":["economy","business"]},"seats":{"type":"integer","default":1}},"required":["city","class"]},"outputSchema":{"type":"object","properties":{"total":{"type":"number"}}}},{"name":"ping_all","description":"Pings"}]}"#,
        ),
        (
            "prompts/list",
            r#""result":{"prompts":[{"name":"plan","description":"Plans","arguments":[{"name":"days"}]}]}"#,
        ),
        ("resources/list", r#""result":{"resources":[{"uri":"file:///trips/rome","name":"Rome"}]}"#),
        (
            "resources/templates/list",
            r#""result":{"resourceTemplates":[{"uriTemplate":"file:///trips/{city}","name":"A trip"}]}"#,
        ),
    ] {
        let list =
            world.message(2, Direction::ToServer, &format!(r#"{{"jsonrpc":"2.0","id":70,"method":"{method}"}}"#));
        let listed = world.reply(&list, 12, result);
        for envelope in [list, listed] {
            rig.on_event(Event::Passed(Arc::new(envelope)));
        }
    }
}

/// The tools again: one says something else of itself, one is gone, one is new.
pub(super) fn offer_anew(rig: &mut Rig) {
    let mut world = World::new();
    world.seq = 1329;
    let list = world.message(2, Direction::ToServer, r#"{"jsonrpc":"2.0","id":71,"method":"tools/list"}"#);
    let tools = r#""result":{"tools":[{"name":"book","description":"Books a flight, and tells the bank.","inputSchema":{"type":"object","properties":{"city":{"type":"string"},"class":{"enum":["economy","business"]},"seats":{"type":"integer","default":2}},"required":["city","class"]},"outputSchema":{"type":"object","properties":{"total":{"type":"number"}}}},{"name":"cancel","description":"Cancels a booking"}]}"#;
    let listed = world.reply(&list, 12, tools);
    for envelope in [list, listed] {
        rig.on_event(Event::Passed(Arc::new(envelope)));
    }
}

/// A call out of the offers, on its way, with some progress.
pub(super) fn own_call(rig: &mut Rig) -> (World, Envelope) {
    offer(rig);
    rig.press("C").typing("book").press("enter").typing("Rome");
    rig.effects.clear();
    rig.press("ctrl-s");
    let [Command::Send { message, .. }] = &rig.commands()[..] else { panic!() };
    let mut world = World::new();
    world.seq = 1319;
    let raw = message.with_id(&crate::message::Id::random()).unwrap();
    let mut call = world.message(2, Direction::ToServer, &String::from_utf8_lossy(raw.raw()));
    call.outcome = Outcome::Injected(Author::Operator);
    let progress = r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":"tapline-call","progress":3,"total":10,"message":"asking airlines"}}"#;
    for envelope in [call.clone(), world.message(2, Direction::ToClient, progress)] {
        rig.on_event(Event::Passed(Arc::new(envelope)));
    }
    (world, call)
}

/// A held call of a tool whose arguments have a schema.
pub(super) fn booked(rig: &mut Rig) {
    offer(rig);
    let mut world = World::new();
    world.seq = 1349;
    rig.on_event(held(50, world.call(2, 91, "book", r#"{"city":"Rome","class":"economy","seats":2}"#), 4));
    rig.model.notice = None;
}

fn queue(rig: &mut Rig) {
    let mut world = World::new();
    world.seq = 1199;
    for (ticket, outcome) in
        [(7, Outcome::Blocked(Author::Operator)), (8, Outcome::Edited(Author::Operator)), (9, Outcome::Abandoned)]
    {
        let mut call = world.call(2, 90, "fetch", r#"{"url":"https://example.org"}"#);
        rig.on_event(held(ticket, call.clone(), 4));
        rig.on_event(Event::Settled { ticket: Ticket(ticket) });
        (call.outcome, call.held) = (outcome, Some(4_000_000));
        rig.on_event(Event::Passed(Arc::new(call)));
    }
    rig.press("2");
}

fn command_session(rig: &mut Rig) {
    let started = session(5, "py-server", ("ide", "1.4"), Via::Stdio);
    rig.on_event(Event::SessionOpened(Session { upstream: "python server.py".into(), ..started }.into()));
}

fn many_held(rig: &mut Rig) {
    let mut world = World::new();
    world.seq = 1399;
    for ticket in 100..160 {
        rig.on_event(held(ticket, world.call(1, 90, "fetch", "{}"), 4));
    }
    rig.model.notice = None;
    rig.press("2");
}

fn listed_tapes(rig: &mut Rig) {
    rig.press("4");
    rig.on_event(Event::Tapes(tapes()));
}

fn played(rig: &mut Rig) {
    rig.press("4");
    rig.on_event(Event::Tapes(tapes()));
    for event in replay() {
        rig.on_event(Event::Replay(event));
    }
    rig.press("n");
}

pub(super) fn open_tape(rig: &mut Rig) {
    rig.press("4");
    rig.on_event(Event::Tapes(tapes()));
    let passed = |event| if let Event::Passed(envelope) = event { Some(envelope) } else { None };
    let path = PathBuf::from("/tapes/demo.tape.jsonl");
    let session = Arc::new(session(1, "files-srv", ("ide", "1.4"), Via::Http));
    let envelopes: Vec<_> = busy_events().into_iter().filter_map(passed).collect();
    let messages = envelopes.len() as u64;
    rig.on_event(Event::TapeOpened { path: path.clone(), session: session.clone(), part: envelopes.into() });
    let end = TapeEnd {
        session,
        messages,
        problems: Vec::new(),
        found: Vec::new(),
        seams: Vec::new(),
        annotations: Vec::new(),
    };
    rig.on_event(Event::TapeRead { path, part: TapePart::default(), end: Some(Box::new(end)) });
    rig.press("j j");
}

/// A result that says something in every form there is, and the side that shows it.
pub(super) fn content(rig: &mut Rig) {
    let mut world = World::new();
    // Numbers that are still free.
    (0..20).for_each(|number| drop(world.call(1, number, "", "{}")));
    let call = world.call(1, 51, "report", "{}");
    let text = "# Weather\n\nIt **rains** in [Oslo](https://a.b), see `sky`:\n\n- now\n  - later\n\n| city | mm |\n|---|---|\n| Oslo | 12 |";
    let blocks = serde_json::json!({"content": [
        {"type": "text", "text": text},
        {"type": "image", "mimeType": "image/png", "data": "iVBORw0KGgoAAAANSUhEUgAAAoAAAAGQCAYAAAA="},
        {"type": "image", "mimeType": "image/jpeg", "data": "a!"},
        {"type": "audio", "mimeType": "audio/wav", "data": "UklGRgAAAABXQVZFZm10IBAAAAABAAEAQB8AAEAfAAABAAgAZGF0YSBOAAA="},
        {"type": "resource_link", "uri": "file:///a.md", "name": "a"},
    ]});
    let reply = world.reply(&call, 20, &format!(r#""result":{blocks}"#));
    rig.on_event(Event::Passed(Arc::new(call)));
    rig.on_event(Event::Passed(Arc::new(reply.clone())));
    rig.press("esc :").typing(&reply.seq.0.to_string()).press("enter enter l +");
}

fn events(rig: &mut Rig) {
    let line = |level, source: &str, text: &str| LogLine {
        landmark: None,
        at: START.plus_micros(12_911_000),
        ..LogLine::new(level, source, text)
    };
    for line in [
        line(Level::Info, "proxy", "listening on http://127.0.0.1:7070/mcp"),
        line(Level::Warn, "hold", "held by ~tool write_file|git_.*").about(Seq(1197)).of(session_id(1)),
        line(Level::Error, "server", "panicked at \u{1b}[31mretry.rs:12\u{1b}[0m").of(session_id(2)),
    ] {
        rig.on_event(Event::Log(line));
    }
    rig.press("6 k");
}

/// Rules of a file, a ready set and the screen, and a file that is not taken.
pub(super) fn rules(rig: &mut Rig) {
    let rule = |name: &str, when: &str, action: &str, place: &str| RuleStatus {
        name: name.to_owned(),
        when: when.to_owned(),
        action: action.to_owned(),
        is_on: true,
        place: place.to_owned(),
        text: format!("[[rule]]\nname = \"{name}\"\nwhen = \"{when}\"\ndo = {action}\n"),
        ..RuleStatus::default()
    };
    let mut slow = rule("search is slow", "~q ~tool ^search$", "{ delay = \"200ms..2s\" }", "rules/mine.toml");
    (slow.hits, slow.last_hit, slow.last_seq) = (4_031, Some(START.plus_micros(12_000_000)), Some(Seq(1189)));
    slow.text.insert_str(0, "# as over a bad line\n");
    let mut off = rule("no writes", "~q ~tool write", "\"drop\"", "rules/mine.toml");
    (off.is_on, off.is_unsaved) = (false, true);
    let mut broken = rule("shorten", "~r", "{ modify = { jq = \".result |= f\" } }", "flaky");
    broken.broken = Some("it takes too long".to_owned());
    let mut made = rule("edit read_file reply", "~r ~tool ^read_file$", "{ modify = { patch = '[]' } }", "");
    made.is_unsaved = true;
    let rule_faults = vec!["rules/mine.toml:3:8: unknown operator `~tol`; did you mean `~tool`?".to_owned()];
    let figures = Figures { rules: vec![slow, off, broken, made], rule_faults, ..Figures::default() };
    rig.on_event(Event::Figures(Arc::new(figures)));
}

fn lint(rig: &mut Rig) {
    for (seq, code) in [(1190, "tool-result"), (1193, "slow-reply")] {
        rig.on_event(Event::Found(Arc::new(Finding {
            code: code.to_owned(),
            level: LintLevel::Warn,
            session: session_id(1),
            seq: Seq(seq),
            by: Direction::ToClient,
            text: "`t`: \"x\" is not of type \"number\"".to_owned(),
            hint: "change the one or the other".to_owned(),
            section: "server/tools#output-schema".to_owned(),
            revision: "2025-11-25".to_owned(),
            clients: Vec::new(),
        })));
    }
    rig.press("7");
}
