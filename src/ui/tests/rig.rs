//! A screen without a terminal, and a world of sessions and messages for it.

use std::sync::Arc;

use crossterm::event::{Event as TerminalEvent, KeyCode, KeyEvent, KeyModifiers};
use jiff::tz::TimeZone;
use ratatui::Terminal;
use ratatui::backend::{Backend as _, TestBackend};
use ratatui::layout::{Position, Rect};
use uuid::Uuid;

use crate::envelope::{Direction, Envelope, Outcome, ReplyTo, Seq, SessionId, Subject, Transport, Via};
use crate::event::figures::Figures;
use crate::event::{
    Command, Event, Held, Origin, Peer, ServedTape, Session, SessionState, TapeInfo, Ticket, Timestamp,
};
use crate::message::Message;
use crate::ui::graphics::PicturePlace;
use crate::ui::model::{Change, Effect, Model};
use crate::ui::update::{before_drawing, update};
use crate::ui::{ScreenInput, Settings, TapeWriter, view};

/// 2026-03-14 10:04:00 UTC.
pub(crate) const START: Timestamp = Timestamp(1_773_482_640_000_000);

pub(crate) struct Rig {
    pub(crate) model: Model,
    pub(crate) effects: Vec<Effect>,
    /// Those in sight in the picture that was drawn last.
    pub(crate) pictures: Vec<PicturePlace>,
    terminal: Terminal<TestBackend>,
}

impl Rig {
    pub(crate) fn new(width: u16, height: u16) -> Self {
        Self::with(width, height, &Settings::default())
    }

    pub(crate) fn with(width: u16, height: u16, settings: &Settings) -> Self {
        let archive = |timed: &[_], upstream: &str| format!("{} of {upstream}", timed.len());
        let tape_writer = Some::<TapeWriter>(|_, _, _, _| Ok(Vec::new()));
        let settings = Settings { zone: TimeZone::UTC, archive: Some(archive), tape_writer, ..settings.clone() };
        let terminal = Terminal::new(TestBackend::new(width, height)).unwrap();
        let mut rig = Self {
            model: Model::new(settings, START.plus_micros(20_000_000)),
            effects: Vec::new(),
            pictures: Vec::new(),
            terminal,
        };
        rig.fit();
        rig
    }

    pub(crate) fn fit(&mut self) {
        let size = self.terminal.size().unwrap();
        self.effects.extend(before_drawing(&mut self.model, Rect::new(0, 0, size.width, size.height)));
    }

    pub(crate) fn resize(&mut self, width: u16, height: u16) {
        self.terminal.backend_mut().resize(width, height);
        self.fit();
    }

    pub(crate) fn on_event(&mut self, event: Event) {
        self.change(Change::Event(Box::new(event)));
    }

    pub(crate) fn change(&mut self, change: Change) {
        let effects = update(&mut self.model, change);
        self.effects.extend(effects);
        self.fit();
    }

    /// Keys by their names, between spaces; a word in quotes is typed.
    pub(crate) fn press(&mut self, keys: &str) -> &mut Self {
        for key in keys.split_whitespace() {
            self.key(key);
        }
        self
    }

    pub(crate) fn typing(&mut self, text: &str) -> &mut Self {
        for c in text.chars() {
            self.event(KeyEvent::new(KeyCode::Char(c), KeyModifiers::NONE));
        }
        self
    }

    fn key(&mut self, name: &str) {
        let (modifiers, name) = match name.split_once('-') {
            Some(("ctrl", name)) => (KeyModifiers::CONTROL, name),
            Some(("alt", name)) => (KeyModifiers::ALT, name),
            _ => (KeyModifiers::NONE, name),
        };
        let code = match name {
            "enter" => KeyCode::Enter,
            "esc" => KeyCode::Esc,
            "tab" => KeyCode::Tab,
            "up" => KeyCode::Up,
            "down" => KeyCode::Down,
            "left" => KeyCode::Left,
            "right" => KeyCode::Right,
            "home" => KeyCode::Home,
            "end" => KeyCode::End,
            "pgdn" => KeyCode::PageDown,
            "space" => KeyCode::Char(' '),
            "backspace" => KeyCode::Backspace,
            "delete" => KeyCode::Delete,
            "f3" => KeyCode::F(3),
            name => KeyCode::Char(name.chars().next().unwrap()),
        };
        self.event(KeyEvent::new(code, modifiers));
    }

    pub(crate) fn event(&mut self, event: KeyEvent) {
        self.change(Change::Input(ScreenInput::Terminal(TerminalEvent::Key(event))));
    }

    /// Lets the list go through all messages: how far it comes by itself depends on the machine.
    pub(crate) fn finish_scan(&mut self) {
        while self.model.list().scanned(self.model.messages().0).is_some() {
            self.model.work_on();
        }
    }

    /// The commands since the last look.
    pub(crate) fn commands(&mut self) -> Vec<Command> {
        let effects = std::mem::take(&mut self.effects);
        effects
            .into_iter()
            .filter_map(|effect| if let Effect::Command(command) = effect { Some(command) } else { None })
            .collect()
    }

    /// The commands since the last look as text, which is what most tests compare.
    pub(crate) fn sent(&mut self) -> String {
        self.commands().iter().map(|command| format!("{command:?}")).collect::<Vec<_>>().join("\n")
    }

    pub(crate) fn picture(&mut self) -> String {
        self.fit();
        let model = &self.model;
        let mut pictures = Vec::new();
        self.terminal.draw(|frame| pictures = view::draw(model, frame)).unwrap();
        self.pictures = pictures;
        let buffer = self.terminal.backend().buffer();
        let width = usize::from(buffer.area.width);
        let rows = buffer.content.chunks(width).map(|row| {
            let mut line = String::new();
            let mut skip = 0;
            for cell in row {
                if skip == 0 {
                    line.push_str(cell.symbol());
                    skip = crate::text::width(cell.symbol()).max(1);
                }
                skip -= 1;
            }
            line.trim_end().to_owned()
        });
        rows.collect::<Vec<_>>().join("\n")
    }

    /// Where the terminal's cursor is since the last picture.
    pub(crate) fn cursor(&mut self) -> Position {
        self.terminal.backend_mut().get_cursor_position().unwrap()
    }

    pub(crate) fn buffer(&mut self) -> &ratatui::buffer::Buffer {
        let model = &self.model;
        let mut pictures = Vec::new();
        self.terminal.draw(|frame| pictures = view::draw(model, frame)).unwrap();
        self.pictures = pictures;
        self.terminal.backend().buffer()
    }
}

pub(crate) fn session_id(n: u128) -> SessionId {
    SessionId(Uuid::from_u128(n))
}

pub(crate) fn session(n: u128, server: &str, client: (&str, &str), via: Via) -> Session {
    Session {
        id: session_id(n),
        upstream_name: None,
        upstream: "http://127.0.0.1:9000/mcp".into(),
        via,
        started: START,
        state: SessionState::Active,
        origin: Origin::Client,
        client: Some(Peer { name: client.0.to_owned(), version: client.1.to_owned() }.into()),
        server: Some(Peer { name: server.to_owned(), version: "1.0".to_owned() }.into()),
        protocol: Some("2025-06-18".to_owned()),
        tape: None,
    }
}

/// Makes messages under running numbers.
pub(crate) struct World {
    pub(crate) seq: u64,
    at: u64,
}

impl World {
    pub(crate) fn new() -> Self {
        Self { seq: 1186, at: 11_000_000 }
    }

    pub(crate) fn message(&mut self, session: u128, direction: Direction, raw: &str) -> Envelope {
        self.seq += 1;
        self.at += 20_000;
        Envelope {
            seq: Seq(self.seq),
            session: session_id(session),
            at: self.at,
            direction,
            transport: Transport::new(Via::Http),
            message: Message::new(raw.to_owned()),
            original: None,
            outcome: Outcome::Forwarded,
            held: None,
            reply_to: None,
            part_of: None,
            rules: None,
        }
    }

    pub(crate) fn call(&mut self, session: u128, id: u32, tool: &str, arguments: &str) -> Envelope {
        let raw = format!(
            r#"{{"jsonrpc":"2.0","id":{id},"method":"tools/call","params":{{"name":"{tool}","arguments":{arguments}}}}}"#
        );
        self.message(session, Direction::ToServer, &raw)
    }

    pub(crate) fn reply(&mut self, to: &Envelope, took_ms: u64, member: &str) -> Envelope {
        let id = to.message.id().unwrap().token().to_owned();
        let raw = format!(r#"{{"jsonrpc":"2.0","id":{id},{member}}}"#);
        let mut reply = self.message(0, to.direction.reverse(), &raw);
        reply.session = to.session;
        let subject =
            Subject { method: to.message.method().unwrap_or_default().into(), name: to.message.name().map(Into::into) };
        reply.reply_to = Some(ReplyTo { seq: to.seq, took: took_ms * 1000, subject: Arc::new(subject) });
        reply
    }
}

pub(crate) fn held(ticket: u64, envelope: Envelope, seconds: u64) -> Event {
    let since = Timestamp(START.0 + 20_000_000 - seconds * 1_000_000);
    Event::Held(Arc::new(Held {
        ticket: Ticket(ticket),
        envelope,
        reason: "~tool write_file|git_.*".to_owned(),
        since,
        deadline: None,
        is_asked: false,
    }))
}

pub(crate) fn text_result(text: &str) -> String {
    let text = serde_json::Value::from(text);
    format!(
        r#""result":{{"content":[{{"type":"text","text":{text}}}],"isError":false,"_meta":{{"took":12.50,"cached":null}}}}"#
    )
}

/// Three sessions with calls, progress, an error, an edited reply and two held messages.
pub(crate) fn busy(width: u16, height: u16) -> Rig {
    busy_with(width, height, &Settings::default())
}

pub(crate) fn busy_with(width: u16, height: u16, settings: &Settings) -> Rig {
    let mut rig = Rig::with(width, height, settings);
    for event in busy_events() {
        rig.on_event(event);
    }
    // Of the first held message; it covers the key line for a moment.
    rig.model.notice = None;
    rig
}

pub(crate) fn busy_events() -> Vec<Event> {
    let mut world = World::new();
    let passed = |envelope: &Envelope| Event::Passed(Arc::new(envelope.clone()));
    let mut old = session(3, "old-srv", ("agent", "0.9"), Via::Sse);
    old.state = SessionState::Closed { reason: "client left".to_owned() };
    let mut events = vec![
        Event::Listening {
            url: "http://127.0.0.1:7070/mcp".to_owned(),
            upstream: "http://127.0.0.1:9000/mcp".to_owned(),
        },
        Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Stdio).into()),
        Event::SessionOpened(session(2, "web-srv", ("agent", "0.9"), Via::Http).into()),
        Event::SessionOpened(old.into()),
        Event::Holding(crate::event::Holding { on: true, filter: "~tool write_file|git_.*".to_owned() }),
    ];
    let list = world.message(2, Direction::ToServer, r#"{"jsonrpc":"2.0","id":"a1","method":"tools/list"}"#);
    let listed =
        world.reply(&list, 12, r#""result":{"tools":[{"name":"search"},{"name":"read_file"},{"name":"git_log"}]}"#);
    let search = world.call(1, 41, "search", r#"{"query":"retry","limit":20}"#);
    let found = world.reply(&search, 370, &text_result("a.rs\nb.rs\nc.rs"));
    let read = world.call(1, 42, "read_file", r#"{"path":"/src/retry.rs"}"#);
    let progress = world.message(
        1,
        Direction::ToClient,
        r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":41,"progress":3,"total":10,"message":"indexing"}}"#,
    );
    let mut content =
        world.reply(&read, 358, &text_result(&"use std::time::Duration; // was: 250 ms\nfn retry() {}\n".repeat(40)));
    content.outcome = Outcome::Edited(crate::envelope::Author::Operator);
    content.original =
        Some(Message::new(String::from_utf8_lossy(content.message.raw()).replace("was: 250 ms", "was 100 ms")));
    content.held = Some(2_400_000);
    let git = world.call(1, 43, "git_log", r#"{"n":50}"#);
    let failed = world.reply(&git, 1134, r#""error":{"code":-32603,"message":"not a repository"}"#);
    let open = world.call(2, 7, "fetch", r#"{"url":"https://example.org/页面","depth":2}"#);
    for envelope in [&list, &listed, &search, &found, &read, &progress, &content, &git, &failed, &open] {
        events.push(passed(envelope));
    }
    let write = world.call(1, 44, "write_file", r#"{"path":"/etc/hosts","text":"127.0.0.1 localhost"}"#);
    events.push(held(1, write, 6));
    let sample = world.message(
        1,
        Direction::ToClient,
        r#"{"jsonrpc":"2.0","id":"s7","method":"sampling/createMessage","params":{"messages":[{"role":"user","content":{"type":"text","text":"Summarise the file"}}],"maxTokens":200}}"#,
    );
    events.push(held(2, sample, 5));
    let cancelled = world.message(
        1,
        Direction::ToServer,
        r#"{"jsonrpc":"2.0","method":"notifications/cancelled","params":{"requestId":43,"reason":"user stopped"}}"#,
    );
    events.push(passed(&cancelled));
    events
}

/// The first of these tapes answers clients.
pub(crate) fn served() -> Event {
    let tape = "/tapes/demo.tape.jsonl".into();
    let served = ServedTape { tape, url: "http://127.0.0.1:43121/mcp".to_owned(), answered: 12, missed: 1 };
    Event::Figures(Arc::new(Figures { served: vec![served], ..Figures::default() }))
}

pub(crate) fn tapes() -> Vec<TapeInfo> {
    let tape = |name: &str, messages, bytes, problems: &[&str]| TapeInfo {
        path: format!("/tapes/{name}.tape.jsonl").into(),
        session: None,
        parent: None,
        upstream: "http://127.0.0.1:9000/mcp".to_owned(),
        client: Some(Peer { name: "ide".to_owned(), version: "1.4".to_owned() }.into()),
        server: None,
        protocol: Some("2025-06-18".to_owned()),
        started: START,
        messages,
        bytes,
        tools: Some(Vec::new()),
        notes: Vec::new(),
        problems: problems.iter().map(|&problem| problem.to_owned()).collect(),
    };
    let server = |name: &str| Some(Peer { name: name.to_owned(), version: "1.0".to_owned() }.into());
    let tools = [("search", 96), ("read_file", 12), ("write_file", 1)].map(|(tool, calls)| (tool.to_owned(), calls));
    let demo = tape("demo", 1204, 2_100_000, &[]);
    let flaky = tape("flaky", 310, 812_000, &["the last line is torn"]);
    vec![
        TapeInfo { server: server("files-srv"), tools: Some(tools.into()), ..demo },
        TapeInfo { tools: None, ..tape("20260314T100400Z-127.0.0.1-9000-1f2e3d4c", 42, 31_000, &[]) },
        TapeInfo { server: server("web-srv"), notes: vec!["fails every third time".to_owned()], ..flaky },
    ]
}
