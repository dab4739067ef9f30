//! What a server offers: what it costs, what changed of it, and a call with its reply.

use std::sync::Arc;

use super::rig::{Rig, World, session};
use super::scenes::{offer, offer_anew};
use crate::envelope::{Direction, Via};
use crate::event::Event;

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
