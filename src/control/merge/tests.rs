use uuid::Uuid;

use super::*;
use crate::envelope::{Direction, ReplyTo, Subject, Via};
use crate::event::figures::{Flow, Spread};
use crate::event::{
    Decision, Divergence, Level, MessageMark, OnQuit, Origin, ReplayRequest, RuleCommand, RuleStatus, ShadowVerdict,
    Then, Timestamp,
};
use crate::message::Message;

const A: SourceId = SourceId(1);
const B: SourceId = SourceId(2);

fn about(name: &str) -> About {
    let (front, upstream) = (format!("http://{name}/mcp"), format!("{name}-server"));
    About { name: name.to_owned(), front, upstream, pid: None }
}

fn both() -> Merge {
    let mut merge = Merge::new(Numbering::Common);
    merge.join(A, about("a"));
    merge.join(B, about("b"));
    merge
}

fn id(number: u128) -> SessionId {
    SessionId(Uuid::from_u128(number))
}

fn session(number: u128) -> Session {
    Session {
        id: id(number),
        upstream_name: None,
        upstream: "".into(),
        via: Via::Http,
        started: Timestamp(0),
        state: SessionState::Active,
        origin: Origin::Client,
        client: None,
        server: None,
        protocol: None,
        tape: None,
    }
}

fn envelope(seq: u64, reply_to: Option<u64>) -> Envelope {
    let subject = Arc::new(Subject { method: "ping".into(), name: None });
    Envelope {
        reply_to: reply_to.map(|seq| ReplyTo { seq: Seq(seq), took: 1, subject }),
        ..Envelope::forwarded(Seq(seq), id(1), Direction::ToServer, Via::Http, Message::new("{}"))
    }
}

fn passed(seq: u64, reply_to: Option<u64>) -> Event {
    Event::Passed(Arc::new(envelope(seq, reply_to)))
}

fn held(ticket: u64, seq: u64) -> Event {
    let envelope = envelope(seq, None);
    Event::Held(Arc::new(Held {
        ticket: Ticket(ticket),
        envelope,
        reason: String::new(),
        since: Timestamp(0),
        deadline: None,
        is_asked: false,
    }))
}

fn log(at: u64) -> Event {
    Event::Log(LogLine { at: Timestamp(at), ..LogLine::new(Level::Info, "test", at.to_string()) })
}

fn holding(on: bool, filter: &str) -> Holding {
    Holding { on, filter: filter.to_owned() }
}

/// What was told, in a word each.
fn words(events: &[Event]) -> Vec<String> {
    events.iter().map(word).collect()
}

fn word(event: &Event) -> String {
    match event {
        Event::Passed(it) => {
            it.reply_to.as_ref().map_or_else(|| it.seq.to_string(), |to| format!("{} re {}", it.seq, to.seq))
        }
        Event::Held(held) => format!("held {} as {}", held.envelope.seq, held.ticket.0),
        Event::Settled { ticket } => format!("settled {}", ticket.0),
        Event::SessionOpened(session) => format!("opened {}", session.id.0.as_u128()),
        Event::SessionChanged(session) => format!("changed {}", session.id.0.as_u128()),
        Event::SessionClosed { session, reason } => format!("closed {}: {reason}", session.0.as_u128()),
        Event::Listening { url, upstream } => format!("{url} > {upstream}"),
        Event::Holding(holding) => format!("holding {} {}", holding.on, holding.filter),
        Event::Log(line) => line.text.clone(),
        Event::Tapes(tapes) => tapes.iter().map(|tape| tape.path.display().to_string()).collect::<Vec<_>>().join(" "),
        other => panic!("{other:?}"),
    }
}

fn on_event(merge: &mut Merge, id: SourceId, events: impl IntoIterator<Item = Event>) -> Vec<String> {
    events.into_iter().flat_map(|event| words(&merge.on_event(id, event))).collect()
}

/// Who is asked, and what, in a few words.
fn asked(route: CommandRoute) -> Vec<(u64, String)> {
    let CommandRoute::To(commands) = route else { return Vec::new() };
    let word = |command: Command| match command {
        Command::Settle { ticket, .. } => format!("settle {}", ticket.0),
        Command::SetHolding(holding) => format!("hold {}", holding.filter),
        Command::CloseSession(session) => format!("close {}", session.0.as_u128()),
        Command::Restart(session) => format!("restart {}", session.0.as_u128()),
        other => format!("{other:?}").chars().take_while(|c| c.is_alphanumeric()).collect(),
    };
    commands.into_iter().map(|(id, command)| (id.0, word(command))).collect()
}

fn settle(ticket: u64) -> Command {
    Command::Settle { ticket: Ticket(ticket), decision: Decision::Forward, then: Then::Nothing }
}

#[test]
fn merged_messages_have_one_numbering() {
    let mut merge = both();
    assert_eq!(on_event(&mut merge, A, [passed(1, None)]), ["#1"]);
    assert_eq!(on_event(&mut merge, B, [passed(1, None), passed(2, Some(1))]), ["#2", "#3 re #2"]);
    assert_eq!(on_event(&mut merge, A, [passed(2, Some(1))]), ["#4 re #1"]);
    let again = Envelope { part_of: Some(Seq(2)), ..envelope(3, None) };
    let [Event::Passed(again)] = &merge.on_event(A, Event::Passed(Arc::new(again)))[..] else { panic!("one message") };
    assert_eq!((again.seq, again.part_of), (Seq(5), Some(Seq(4))));
    let line = LogLine::new(Level::Warn, "test", "about").about(Seq(2));
    let [Event::Log(line)] = &merge.on_event(A, Event::Log(line))[..] else { panic!("one line") };
    assert_eq!((line.seq, line.text.as_str()), (Some(Seq(4)), "a: about"));
}

#[test]
fn single_source_keeps_its_numbers() {
    let mut merge = Merge::new(Numbering::Own);
    merge.join(A, about("a"));
    assert_eq!(
        on_event(&mut merge, A, [passed(41, None), held(7, 43), passed(42, Some(41))]),
        ["#41", "held #43 as 7", "#42 re #41"]
    );
    assert_eq!(asked(merge.route(settle(7))), [(1, "settle 7".to_owned())]);
}

#[test]
fn ticket_goes_back_to_its_source() {
    let mut merge = both();
    assert_eq!(on_event(&mut merge, A, [held(1, 1)]), ["held #1 as 1"]);
    assert_eq!(on_event(&mut merge, B, [held(1, 1), held(2, 2)]), ["held #2 as 2", "held #3 as 3"]);
    assert_eq!(asked(merge.route(settle(3))), [(2, "settle 2".to_owned())]);
    assert_eq!(asked(merge.route(settle(1))), [(1, "settle 1".to_owned())]);
    let settled = Event::Settled { ticket: Ticket(2) };
    assert_eq!(on_event(&mut merge, B, [settled, passed(2, None)]), ["settled 3", "#3"]);
    assert!(matches!(merge.route(settle(3)), CommandRoute::Nowhere(_)));
    assert_eq!(merge.held().count(), 2);
}

#[test]
fn annotation_has_the_number_of_whoever_reads_it() {
    let mut merge = both();
    on_event(&mut merge, A, [Event::SessionOpened(session(5).into()), passed(1, None)]);
    on_event(&mut merge, B, [Event::SessionOpened(session(1).into()), passed(1, None)]);
    let mark = MessageMark { is_marked: true, comment: String::new() };
    let noted = |session, seq| Annotation { session: id(session), seq: Seq(seq), mark: mark.clone() };
    let told = merge.on_event(B, Event::Annotated(noted(1, 1).into()));
    assert!(matches!(&told[..], [Event::Annotated(it)] if **it == noted(1, 2)), "{told:?}");
    let asked = |merge: &mut Merge, tape, annotations| {
        let CommandRoute::To(asked) = merge.route(Command::Annotate(AnnotateRequest { tape, annotations })) else {
            return Vec::new();
        };
        let annotations = |command| if let Command::Annotate(it) = command { it.annotations } else { Vec::new() };
        asked.into_iter().map(|(id, command)| (id.0, annotations(command))).collect()
    };
    let found: Vec<(u64, Vec<Annotation>)> = asked(&mut merge, None, vec![noted(1, 2), noted(5, 1)]);
    assert_eq!(found, [(1, vec![noted(5, 1)]), (2, vec![noted(1, 1)])]);
    assert_eq!(asked(&mut merge, None, vec![noted(7, 1)]), []);
}

#[test]
fn session_is_named_by_its_tapline() {
    let mut merge = both();
    let mut opened = |source, session: Session| match &merge.on_event(source, Event::SessionOpened(session.into()))[..]
    {
        [Event::SessionOpened(session)] => session.upstream_name.clone(),
        other => panic!("{other:?}"),
    };
    assert_eq!(opened(A, session(1)).as_deref(), Some("a"));
    assert_eq!(opened(B, Session { upstream_name: Some("x".to_owned()), ..session(2) }).as_deref(), Some("b/x"));
}

#[test]
fn commands_go_to_their_source() {
    let mut merge = both();
    on_event(&mut merge, B, [Event::SessionOpened(session(5).into())]);
    assert_eq!(asked(merge.route(Command::CloseSession(id(5)))), [(2, "close 5".to_owned())]);
    assert!(matches!(merge.route(Command::CloseSession(id(6))), CommandRoute::Nowhere(_)));
    assert_eq!(asked(merge.route(Command::Restart(id(5)))), [(2, "restart 5".to_owned())]);
    assert!(matches!(merge.route(Command::Restart(id(6))), CommandRoute::Nowhere(_)));
    let send = Command::Send { session: id(5), message: Message::new("{}") };
    assert_eq!(asked(merge.route(send)), [(2, "Send".to_owned())]);
    for (command, word) in [
        (Command::ForwardAll, "ForwardAll"),
        (Command::ListTapes, "ListTapes"),
        (Command::StopReplay, "StopReplay"),
        (Command::SetHolding(holding(true, "~q")), "hold ~q"),
    ] {
        assert_eq!(asked(merge.route(command)), [(1, word.to_owned()), (2, word.to_owned())]);
    }
    // Never, whatever happens, to a tapline.
    assert_eq!(asked(merge.route(Command::Quit { held: OnQuit::Fail })), []);
}

fn tape(path: &str, upstream: &str, started: u64) -> TapeInfo {
    TapeInfo {
        path: path.into(),
        session: None,
        parent: None,
        upstream: upstream.to_owned(),
        client: None,
        server: None,
        protocol: None,
        started: Timestamp(started),
        messages: 0,
        bytes: 0,
        tools: Some(Vec::new()),
        notes: Vec::new(),
        problems: Vec::new(),
    }
}

#[test]
fn tapes_are_one_list_and_play_at_their_source() {
    let mut merge = both();
    let listed = Event::Tapes(vec![tape("/2", "a-server", 2), tape("/1", "b-server", 1)]);
    assert_eq!(on_event(&mut merge, A, [listed]), ["/2 /1"]);
    let listed = Event::Tapes(vec![tape("/3", "gone", 3), tape("/2", "a-server", 2)]);
    assert_eq!(on_event(&mut merge, B, [listed]), ["/3 /2 /1"]);
    for (path, player) in [("/1", 2), ("/2", 1), ("/3", 2), ("/unknown", 1)] {
        let replay = Command::Replay(ReplayRequest::of(path.into()));
        assert_eq!(asked(merge.route(replay)), [(player, "Replay".to_owned())], "{path}");
        let accept = Command::AcceptReply { tape: path.into(), request: Seq(1) };
        assert_eq!(asked(merge.route(accept)), [(player, "AcceptReply".to_owned())], "{path}");
        let ignore = Command::IgnoreInReplay { tape: path.into(), paths: Vec::new() };
        assert_eq!(asked(merge.route(ignore)), [(player, "IgnoreInReplay".to_owned())], "{path}");
    }
    let nobody = Merge::new(Numbering::Common).route(Command::Replay(ReplayRequest::of("/1".into())));
    assert!(matches!(nobody, CommandRoute::Nowhere(_)));
}

#[test]
fn holding_is_on_where_any_source_holds() {
    let mut merge = both();
    assert_eq!(on_event(&mut merge, A, [Event::Holding(holding(true, "~q"))]), ["holding true ~q"]);
    assert_eq!(on_event(&mut merge, B, [Event::Holding(holding(false, ""))]), ["holding true ~q"]);
    assert_eq!(on_event(&mut merge, B, [Event::Holding(holding(true, "~s"))]), ["holding true ~s"]);
    assert_eq!(on_event(&mut merge, A, [Event::Holding(holding(false, "~q"))]), ["holding true ~s"]);
    assert_eq!(on_event(&mut merge, B, [Event::Holding(holding(false, "~s"))]), ["holding false ~s"]);
}

#[test]
fn holding_is_wished_of_sources_that_join_later() {
    let mut merge = both();
    merge.route(Command::SetHolding(holding(true, "~q")));
    let told = |on| [Event::ResyncStarted, Event::Holding(holding(on, "~s")), Event::ResyncDone];
    on_event(&mut merge, A, told(true));
    assert!(merge.wish(A).is_none(), "it holds what it was told by someone else");
    on_event(&mut merge, B, told(false));
    assert!(matches!(merge.wish(B), Some(Command::SetHolding(it)) if it.filter == "~q"));
    // Turned off on another screen, for good.
    on_event(&mut merge, A, [Event::Holding(holding(false, "~s"))]);
    assert!(merge.wish(B).is_none());
}

#[test]
fn resync_tells_nothing_twice() {
    let mut merge = both();
    let before = [Event::SessionOpened(session(1).into()), passed(1, None), held(1, 2), held(2, 3), log(10), log(20)];
    on_event(&mut merge, A, before.clone());
    let again = || std::iter::once(Event::ResyncStarted).chain(before.clone()).chain([Event::ResyncDone]);
    assert_eq!(on_event(&mut merge, A, again()), [""; 0]);

    // While the link was down: #2 passed, #3 was let go, #4 passed, a line was logged, the session became another.
    let changed = Session { protocol: Some("2025-11-25".to_owned()), ..session(1) };
    let now = [
        Event::ResyncStarted,
        Event::SessionOpened(changed.into()),
        Event::SessionOpened(session(2).into()),
        passed(1, None),
        passed(2, None),
        passed(4, Some(1)),
        held(3, 5),
        log(20),
        log(30),
        Event::ResyncDone,
    ];
    let expected = ["changed 1", "opened 2", "settled 1", "#2", "#4 re #1", "held #5 as 3", "a: 30", "settled 2"];
    assert_eq!(on_event(&mut merge, A, now), expected);

    let closed = Session { state: SessionState::Closed { reason: "done".to_owned() }, ..session(2) };
    let now = [Event::ResyncStarted, Event::SessionOpened(closed.into()), Event::ResyncDone];
    let expected = ["changed 2", "closed 2: done", "settled 3", "closed 1: its tapline does not know it any more"];
    assert_eq!(on_event(&mut merge, A, now), expected);
}

#[test]
fn source_end_leaves_the_others() {
    let mut merge = both();
    on_event(&mut merge, A, [Event::SessionOpened(session(1).into()), held(1, 1), Event::Holding(holding(true, "~q"))]);
    on_event(
        &mut merge,
        A,
        [Event::SessionOpened(session(2).into()), Event::SessionClosed { session: id(2), reason: "x".into() }],
    );
    on_event(&mut merge, B, [Event::SessionOpened(session(3).into()), held(1, 1)]);
    let ended = on_event(&mut merge, A, [Event::Stopping]);
    assert_eq!(ended, ["settled 1", "closed 1: its tapline ended", "holding false ~q", "http://b/mcp > b-server"]);
    assert_eq!(asked(merge.route(settle(2))), [(2, "settle 1".to_owned())]);
    assert_eq!(on_event(&mut merge, A, [passed(9, None)]), [""; 0], "nothing is heard of the dead");
    assert_eq!(
        words(&merge.remove(B, "gone")),
        ["settled 2", "closed 3: gone", "no tapline runs yet > one that starts appears here"]
    );
}

#[test]
fn listening_event_counts_the_sources() {
    let mut merge = Merge::new(Numbering::Common);
    assert_eq!(words(&merge.join(A, about("a"))), ["http://a/mcp > a-server"]);
    assert_eq!(words(&merge.join(B, about("b"))), ["2 taplines > a, b"]);
    let moved = Event::Listening { url: "http://c/mcp".to_owned(), upstream: "c".to_owned() };
    assert_eq!(on_event(&mut merge, B, [moved]), [""; 0], "nothing new is not told");
    assert_eq!(words(&merge.remove(A, "gone")), ["http://c/mcp > c"]);
}

#[test]
fn figures_sum_the_sources_that_are_there() {
    let mut merge = both();
    let figures = |messages, value| {
        let to_server = Flow { messages, ..Flow::default() };
        let added = Spread::of([(value, 2)].into_iter(), 2 * value, value);
        Event::Figures(Arc::new(Figures { taplines: 1, to_server, added, ..Figures::default() }))
    };
    let told = |events: Vec<Event>| {
        let figures = events.into_iter().find_map(|it| if let Event::Figures(it) = it { Some(it) } else { None });
        let figures = figures.expect("figures");
        (figures.taplines, figures.messages(), figures.added.count, figures.added.p90)
    };
    assert_eq!(told(merge.on_event(A, figures(3, 17))), (1, 3, 2, 17), "of one alone, as it was told");
    assert_eq!(told(merge.on_event(B, figures(40, 900))), (2, 43, 4, 900), "of the values of both");
    assert_eq!(told(merge.on_event(A, figures(5, 17))), (2, 45, 4, 900));
    assert_eq!(told(merge.remove(B, "gone")), (1, 5, 2, 17));
    assert_eq!(told(merge.remove(A, "gone")), (0, 0, 0, 0));
}

fn shadow(seq: u64, same: u64) -> Event {
    let first = Divergence { seq: Seq(seq), subject: "ping".to_owned(), what: ".result".to_owned() };
    let compared = Comparison {
        seq: Seq(seq),
        session: id(1),
        method: "ping".to_owned(),
        name: None,
        verdict: ShadowVerdict::Differs,
        why: None,
        differences: Vec::new(),
        reply: Some(Seq(seq + 1)),
        took: Some(1),
        shadow_took: Some(2),
    };
    let counts = ShadowCounts { same, differs: 1, first: Some(first), ..ShadowCounts::default() };
    Event::Shadow(ShadowEvent { counts, compared: Some(Arc::new(compared)) })
}

#[test]
fn shadow_counts_sum_all_sources() {
    let mut merge = both();
    merge.on_event(A, passed(7, None));
    merge.on_event(B, passed(7, None));
    merge.on_event(A, shadow(7, 10));
    // Told again, it counts once.
    merge.on_event(B, shadow(7, 20));
    let told = merge.on_event(B, shadow(7, 20));
    let [Event::Shadow(ShadowEvent { counts, compared: Some(compared) })] = &told[..] else { panic!("{told:?}") };
    assert_eq!((counts.same, counts.differs), (30, 2));
    assert_eq!(counts.first.as_ref().map(|first| first.seq), Some(Seq(1)));
    assert_eq!((compared.seq, compared.reply), (Seq(2), Some(Seq(4))));
}

#[test]
fn rule_is_changed_in_the_tapline_that_has_it() {
    let mut merge = both();
    let rule = || RuleStatus { name: "r".to_owned(), ..RuleStatus::default() };
    let told = || Event::Figures(Figures { rules: vec![rule()], ..Figures::default() }.into());
    merge.on_event(A, told());
    let told = merge.on_event(B, told());
    let [Event::Figures(figures)] = &told[..] else { panic!("{told:?}") };
    let taplines: Vec<_> = figures.rules.iter().map(|rule| rule.tapline.as_deref().unwrap_or_default()).collect();
    assert_eq!(taplines, ["a", "b"]);
    let command = || RuleCommand::Restore { name: "r".to_owned() };
    let CommandRoute::To(routed) = merge.route(Command::RulesOf { tapline: "b".to_owned(), command: command() }) else {
        panic!("nowhere")
    };
    assert!(matches!(&routed[..], [(B, Command::Rules(asked))] if *asked == command()), "{routed:?}");
}

#[test]
fn taplines_of_one_name_are_told_apart_while_there_are_two() {
    let mut merge = Merge::new(Numbering::Common);
    let alike = |port| About { front: format!("http://127.0.0.1:{port}/mcp"), ..about("a") };
    merge.join(A, alike(7070));
    let names = |events: &[Event]| {
        let name = |event: &Event| match event {
            Event::SessionOpened(session) | Event::SessionChanged(session) => session.upstream_name.clone(),
            _ => None,
        };
        events.iter().filter_map(name).collect::<Vec<_>>()
    };
    let opened = |number| Event::SessionOpened(Arc::new(session(number)));
    assert_eq!(names(&merge.on_event(A, opened(1))), ["a"]);
    let joined = merge.join(B, alike(7071));
    assert_eq!(names(&joined), ["a@:7070"], "what was told is told again");
    assert_eq!(words(&joined)[0], "2 taplines > a@:7070, a@:7071");
    assert_eq!(names(&merge.on_event(B, opened(2))), ["a@:7071"]);
    let line = Event::Log(LogLine { at: Timestamp(1), ..LogLine::new(Level::Info, "test", "x".to_owned()) });
    assert_eq!(words(&merge.on_event(B, line)), ["a@:7071: x"]);
    assert_eq!(names(&merge.remove(B, "gone")), ["a"]);
}
