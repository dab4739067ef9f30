//! The client's clock: how long it will still wait for what is held, and what was said when something was sent.

use std::sync::Arc;
use std::time::Duration;

use ratatui::buffer::Cell;

use super::rig::{Rig, World, held, session, text_result};
use crate::envelope::{Direction, Envelope, Outcome, Via};
use crate::event::{Command, Event, HoldDeadline, Holding, Ticket};
use crate::ui::Settings;
use crate::ui::model::Effect;
use crate::ui::theme::{Role, Theme};

fn holding(client: &str, seconds: u64) -> Rig {
    let mut rig = Rig::new(120, 36);
    rig.on_event(Event::SessionOpened(session(1, "files-srv", (client, "1.4"), Via::Http).into()));
    rig.on_event(held(1, World::new().call(1, 44, "book", r#"{"city":"Rome"}"#), seconds));
    rig.press("2");
    rig
}

#[test]
fn queue_row_says_what_whose_and_how_long() {
    let picture = holding("ide", 6).picture();
    let row = picture.lines().find(|line| line.contains("! ") || line.contains("!>")).unwrap();
    for part in ["> Q", "ide", "44", "book", r#"{"city":"Rome"}"#, "6s", "~54s"] {
        assert!(row.contains(part), "{part}: {row}");
    }
    assert!(holding("mcp", 6).picture().contains(" 4m"), "the Python SDK's session ends after five minutes");
    let endless = holding("rmcp", 6).picture();
    let row = endless.lines().find(|line| line.contains("!>")).unwrap().split('│').nth(1).unwrap().to_owned();
    assert!(row.trim_end().ends_with("6s"), "it waits for ever: {row}");
}

#[test]
fn queue_says_what_holds_where_the_hold_is_off() {
    assert!(holding("ide", 6).picture().contains(" held: ~tool write_file|git_.* "));
}

#[test]
fn patience_of_a_client_is_what_the_operator_says() {
    let patience = [("ide".to_owned(), Duration::from_secs(20))].into();
    let mut rig = Rig::with(120, 36, &Settings { patience, ..Settings::default() });
    rig.on_event(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
    rig.on_event(held(1, World::new().call(1, 44, "book", "{}"), 6));
    let picture = rig.press("2").picture();
    assert!(picture.contains(" 14s") && !picture.contains("~14s"), "{picture}");
}

/// Once for each, and only where that is wanted.
#[test]
fn bell_rings_when_a_client_is_about_to_give_up() {
    for bell in [true, false] {
        let mut rig = Rig::with(120, 36, &Settings { bell, ..Settings::default() });
        rig.on_event(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
        rig.on_event(held(1, World::new().call(1, 44, "book", "{}"), 40));
        rig.press("6");
        assert!(!bell || rig.model.next_tick().is_some(), "also where the queue is not shown");
        let rings = |rig: &mut Rig, seconds: u64| {
            let effects = rig.model.tick(rig.model.now.plus_micros(seconds * 1_000_000));
            effects.iter().filter(|effect| matches!(effect, Effect::Bell)).count()
        };
        assert_eq!(rings(&mut rig, 5), 0);
        assert_eq!(rings(&mut rig, 6), usize::from(bell));
        assert_eq!(rings(&mut rig, 1), 0);
    }
}

#[test]
fn countdown_turns_yellow_then_red() {
    for (seconds, words, role) in [(6, "~54s", Role::Plain), (31, "~29s", Role::Held), (52, "~8s", Role::Bad)] {
        let mut rig = holding("ide", seconds);
        assert!(rig.picture().contains(words), "{}", rig.picture());
        let style = Theme::of(&rig.model.settings).style(role);
        // The row under the cursor has one style throughout: a second one is looked at.
        let mut other = World::new();
        other.seq = 1200;
        rig.on_event(held(2, other.call(1, 45, "book", "{}"), seconds));
        rig.fit();
        let buffer = rig.buffer();
        let text = |row: &[Cell]| row.iter().map(Cell::symbol).collect::<String>();
        let row = buffer.content.chunks(120).find(|row| text(row).contains("1201")).unwrap();
        let at = row.iter().position(|cell| cell.symbol() == "~").unwrap();
        assert_eq!(row[at].fg, style.fg.unwrap_or(ratatui::style::Color::Reset), "{words}");
    }
}

#[test]
fn patience_is_learned_from_a_client_that_left() {
    let mut rig = holding("ide", 0);
    let mut gone = World::new().call(1, 44, "book", "{}");
    gone.outcome = Outcome::Abandoned;
    gone.held = Some(30_000_000);
    rig.on_event(Event::Settled { ticket: Ticket(1) });
    rig.on_event(Event::Passed(Arc::new(gone)));
    let mut world = World::new();
    world.seq = 1300;
    rig.on_event(held(2, world.call(1, 45, "book", "{}"), 10));
    let picture = rig.picture();
    assert!(picture.contains(" 20s") && !picture.contains("~20s"), "{picture}");
    rig.model.tick(rig.model.now.plus_micros(21_000_000));
    let picture = rig.picture();
    assert!(picture.contains("31s over?"), "what it did once is no promise: {picture}");
}

fn taken_back(world: &mut World, after: u64, reason: &str) -> Event {
    let params = format!(r#"{{"requestId":44,"reason":"{reason}"}}"#);
    let raw = format!(r#"{{"jsonrpc":"2.0","method":"notifications/cancelled","params":{params}}}"#);
    let mut notice = world.message(1, Direction::ToServer, &raw);
    notice.at = after;
    Event::Passed(Arc::new(notice))
}

/// Also where that is less than a person takes to press `esc`: its reason says that it was no person.
#[test]
fn patience_is_learned_from_a_client_that_takes_back() {
    for (reason, expected) in [("McpError: MCP error -32001: Request timed out", " 1s"), ("esc was pressed", "~59s")] {
        let mut rig = holding("ide", 2);
        let mut call = World::new().call(1, 44, "book", r#"{"city":"Rome"}"#);
        let mut world = World::new();
        world.seq = 1300;
        rig.on_event(taken_back(&mut world, call.at + 2_000_000, reason));
        (call.outcome, call.held) = (Outcome::Abandoned, Some(2_000_000));
        rig.on_event(Event::Settled { ticket: Ticket(1) });
        rig.on_event(Event::Passed(Arc::new(call)));
        let picture = rig.picture();
        for part in ["#1187 is gone: its client gave up after 2.0s; `e` in the list", "given up after 2.0s"] {
            assert!(picture.contains(part), "{part}: {picture}");
        }
        let key = rig.press("a").picture();
        assert!(rig.commands().iter().all(|it| !matches!(it, Command::Settle { .. })), "{key}");
        let list = rig.press("1").picture();
        assert!(list.contains("x2.0s"), "{list}");
        rig.on_event(held(2, world.call(1, 45, "book", "{}"), 1));
        let picture = rig.press("2").picture();
        assert!(picture.contains(expected), "{reason} {expected}: {picture}");
    }
}

/// Its reply goes on to it all the same, and is no news.
#[test]
fn clock_of_a_reply_ends_where_its_client_gave_up() {
    let mut rig = Rig::new(120, 36);
    rig.on_event(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
    let mut world = World::new();
    let call = world.call(1, 44, "book", "{}");
    let (reply, asked) = (world.reply(&call, 5, &text_result("done")), call.at);
    rig.on_event(Event::Passed(Arc::new(call)));
    rig.on_event(held(1, reply, 2));
    rig.on_event(taken_back(&mut world, asked + 7_000_000, "Request timed out"));
    let picture = rig.press("2").picture();
    assert!(picture.contains("2s  over"), "{picture}");
}

/// What ends a hold first is what the row counts down to.
#[test]
fn row_counts_down_to_what_becomes_of_it_by_itself() {
    let row = |client: &str, held_for: u64, seconds: u64, sends: bool| {
        let mut rig = Rig::new(120, 36);
        rig.on_event(Event::SessionOpened(session(1, "files-srv", (client, "1.4"), Via::Http).into()));
        let Event::Held(mut it) = held(1, World::new().call(1, 44, "book", "{}"), held_for) else { unreachable!() };
        Arc::make_mut(&mut it).deadline = Some(HoldDeadline { after: seconds * 1_000_000, sends });
        rig.on_event(Event::Held(it));
        let picture = rig.press("2").picture();
        picture.lines().find(|line| line.contains("!>")).unwrap().split('│').nth(1).unwrap().trim_end().to_owned()
    };
    for (client, held_for, seconds, sends, expected) in [
        ("ide", 6, 36, true, " >30s"),
        ("ide", 6, 36, false, " x30s"),
        ("ide", 6, 90, true, " ~54s"),
        ("rmcp", 6, 90, false, " x84s"),
        // The guess is over, and what is known is still to come.
        ("ide", 70, 90, true, " >20s"),
    ] {
        let row = row(client, held_for, seconds, sends);
        assert!(row.ends_with(expected), "{client} {held_for} {seconds} {sends}: {row}");
    }
}

/// Held for a moment by a rule, as a slow network would: that is no news, and what waits for a person is, whatever else is held.
#[test]
fn delay_of_a_moment_calls_nobody() {
    let at = |ticket: u64, after: Option<u64>, call: Envelope| {
        let Event::Held(mut it) = held(ticket, call, 0) else { unreachable!() };
        Arc::make_mut(&mut it).deadline = after.map(|after| HoldDeadline { after, sends: true });
        Event::Held(it)
    };
    for (after, is_news) in [(Some(10_000), false), (Some(1_000_000), false), (Some(2_000_000), true), (None, true)] {
        let mut rig = Rig::with(120, 36, &Settings { bell: true, ..Settings::default() });
        rig.on_event(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
        let mut world = World::new();
        let earlier = world.call(1, 43, "look", "{}");
        rig.on_event(Event::Passed(Arc::new(earlier)));
        let call = world.call(1, 44, "book", "{}");
        let keys = |picture: &str| picture.lines().last().unwrap_or_default().to_owned();
        let before = keys(&rig.picture());
        rig.on_event(at(1, after, call.clone()));
        let picture = rig.picture();
        assert_eq!(keys(&picture) != before, is_news, "{after:?}: {picture}");
        for part in ["book is held:", "HOLD 1 held", "2 queue 1"] {
            assert_eq!(picture.contains(part), is_news, "{after:?} {part}: {picture}");
        }
        // That its client is about to give up is news of the same kind.
        let effects = rig.model.tick(rig.model.now.plus_micros(58_000_000));
        assert_eq!(effects.iter().any(|effect| matches!(effect, Effect::Bell)), is_news, "{after:?}");
        // Who looks sees it, and what becomes of it does not push out what people decided.
        assert!(rig.press("2").picture().contains("Held 1 "), "{}", rig.picture());
        rig.on_event(Event::Settled { ticket: Ticket(1) });
        rig.on_event(Event::Passed(Arc::new(Envelope { held: after.or(Some(3_000_000)), ..call })));
        assert_eq!(rig.picture().contains("Released"), is_news, "{after:?}: {}", rig.picture());
        let events = rig.press("6").picture();
        assert_eq!(events.contains("tools/call book forwarded"), is_news, "{after:?}: {events}");
        rig.press("1");
        rig.on_event(at(2, Some(10_000), world.call(1, 45, "look", "{}")));
        rig.on_event(at(3, None, world.call(1, 46, "cancel", "{}")));
        let picture = rig.picture();
        assert!(picture.contains("cancel is held:") && picture.contains("HOLD 1 held"), "{picture}");
    }
}

/// A program decides on it, mostly in milliseconds: that it has not after a moment is news, on every screen.
#[test]
fn message_that_a_program_decides_on_calls_after_a_moment() {
    for (screen, is_told) in [("1", true), ("5", true), ("2", false)] {
        let mut rig = Rig::with(120, 36, &Settings::default());
        rig.on_event(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
        rig.press(screen);
        let mut world = World::new();
        let mut ask = |rig: &mut Rig, ticket: u64| {
            let call = world.call(1, 44, "book", "{}");
            let Event::Held(mut it) = held(ticket, call.clone(), 0) else { unreachable!() };
            let it = Arc::make_mut(&mut it);
            (it.is_asked, it.since) = (true, rig.model.now);
            rig.on_event(Event::Held(Arc::new(it.clone())));
            call
        };
        let call = ask(&mut rig, 1);
        let picture = rig.picture();
        assert!(!picture.contains("is held:") && !picture.contains("HOLD 1 held"), "{picture}");
        rig.on_event(Event::Settled { ticket: Ticket(1) });
        rig.on_event(Event::Passed(Arc::new(Envelope { held: Some(3_000), ..call })));
        assert!(!rig.press("2").picture().contains("Released"), "{}", rig.picture());
        rig.press(screen);
        ask(&mut rig, 2);
        assert!(rig.model.next_tick().is_some(), "{screen}");
        rig.model.tick(rig.model.now.plus_micros(1_000_000));
        let picture = rig.picture();
        assert!(picture.contains("HOLD 1 held"), "{screen}: {picture}");
        assert_eq!(picture.contains("is held:"), is_told, "{screen}: {picture}");
    }
}

/// The Python SDK reads on as long as something comes; the TypeScript SDK, which is the guess, counts on.
#[test]
fn progress_restarts_the_clocks_that_it_restarts() {
    for (client, expected) in [("mcp", " 5m"), ("ide", " ~20s")] {
        let mut rig = Rig::new(120, 36);
        rig.on_event(Event::SessionOpened(session(1, "files-srv", (client, "1.4"), Via::Http).into()));
        let mut world = World::new();
        let params = r#"{"name":"book","_meta":{"progressToken":7}}"#;
        let raw = format!(r#"{{"jsonrpc":"2.0","id":44,"method":"tools/call","params":{params}}}"#);
        rig.on_event(held(1, world.message(1, Direction::ToServer, &raw), 40));
        let told =
            r#"{"jsonrpc":"2.0","method":"notifications/progress","params":{"progressToken":7,"progress":0.001}}"#;
        rig.on_event(Event::Passed(Arc::new(world.message(1, Direction::ToClient, told))));
        let picture = rig.press("2").picture();
        let row = picture.lines().find(|line| line.contains("!>")).unwrap().split('│').nth(1).unwrap().trim_end();
        assert!(row.ends_with(expected), "{client}: {row}");
    }
}

#[test]
fn clock_of_a_reply_runs_from_its_request() {
    let mut rig = Rig::new(120, 36);
    rig.on_event(Event::SessionOpened(session(1, "files-srv", ("ide", "1.4"), Via::Http).into()));
    let mut world = World::new();
    let call = world.call(1, 44, "book", "{}");
    let reply = world.reply(&call, 5, &text_result("done"));
    rig.on_event(Event::Passed(Arc::new(call)));
    rig.on_event(held(1, reply, 2));
    let picture = rig.press("2").picture();
    // It was sent 9 s ago, and held for two of them.
    assert!(picture.contains("2s") && picture.contains("~52s"), "{picture}");
}

#[test]
fn sending_says_what_was_sent_and_what_follows() {
    let send = |filter: &str, keys: &str| {
        let mut rig = holding("ide", 1);
        rig.on_event(Event::Holding(Holding { on: true, filter: filter.to_owned() }));
        rig.press(keys).picture()
    };
    for (filter, keys, expected) in [
        ("~m tools/call", "c X ctrl-s", "#1187 sent, 1 value changed; its reply is held too"),
        ("~m tools/call & ~q", "c X ctrl-s", "#1187 sent, 1 value changed "),
        ("~m tools/call", "a", "#1187 sent; its reply is held too"),
        ("~m tools/call & ~q", "o", "#1187 sent; its reply is held too"),
        ("~m tools/call & ~q", "X", "#1187 blocked"),
        ("~m tools/call", "A", "1 sent; a reply to them is held too"),
    ] {
        let picture = send(filter, keys);
        assert!(picture.contains(expected), "{filter} {keys}: {picture}");
    }
    assert!(!send("~m tools/call & ~q", "a").contains("held too"));
}
