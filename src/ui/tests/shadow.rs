//! A shadow on the screen: what it answered otherwise, and its sessions apart from the clients'.

use std::sync::Arc;

use super::pictures::check;
use super::rig::{Rig, World, busy, busy_events, busy_with, session, session_id, text_result};
use crate::envelope::{Seq, Via};
use crate::event::{Comparison, Difference, Event, Origin, ShadowCounts, ShadowEvent, ShadowVerdict};
use crate::ui::Settings;

fn compared(seq: u64, verdict: ShadowVerdict) -> Comparison {
    let difference = |path: &str, expected: Option<&str>, got: &str| Difference {
        path: path.to_owned(),
        expected: expected.map(str::to_owned),
        got: Some(got.to_owned()),
    };
    Comparison {
        seq: Seq(seq),
        session: session_id(1),
        method: "tools/call".to_owned(),
        name: Some("search".to_owned()),
        verdict,
        why: Some("2 values differ".to_owned()),
        differences: vec![
            difference(".result.content[0].text", Some("\"a.rs\\nb.rs\""), "\"a.rs\u{1b}[31m\""),
            difference(".result.total", None, "1"),
        ],
        reply: Some(Seq(seq + 1)),
        took: Some(370_000),
        shadow_took: (verdict != ShadowVerdict::Missing).then_some(1_204_000),
    }
}

/// One event for each, with the counts as they grow.
fn events(compared: &[Comparison]) -> Vec<Event> {
    let mut counts = ShadowCounts { same: 41, ..ShadowCounts::default() };
    let event = |it: &Comparison| {
        counts.add(it);
        Event::Shadow(ShadowEvent { counts: counts.clone(), compared: Some(Arc::new(it.clone())) })
    };
    compared.iter().map(event).collect()
}

fn on_event(rig: &mut Rig, compared: &[Comparison]) {
    events(compared).into_iter().for_each(|event| rig.on_event(event));
}

/// The session of a shadow with one call in it.
fn shadow_session(rig: &mut Rig) {
    let mut twin = session(9, "files-srv", ("ide", "1.4"), Via::Http);
    twin.origin = Origin::Shadow;
    rig.on_event(Event::SessionOpened(twin.into()));
    let mut world = World::new();
    world.seq = 1300;
    let call = world.call(9, 41, "of_the_shadow", "{}");
    rig.on_event(Event::Passed(Arc::new(call.clone())));
    rig.on_event(Event::Passed(Arc::new(world.reply(&call, 12, &text_result("other")))));
}

#[test]
fn divergence_has_a_badge_a_mark_and_a_side_of_its_own() {
    check("shadow", |rig| {
        shadow_session(rig);
        on_event(rig, &[compared(1189, ShadowVerdict::Differs)]);
        rig.model.notice = None;
        rig.press(": 1 1 9 0 enter enter");
        rig.press("l l l l l");
    });
}

#[test]
fn first_divergence_is_announced() {
    let mut rig = busy(120, 36);
    on_event(&mut rig, &[compared(1189, ShadowVerdict::Differs), compared(1191, ShadowVerdict::Missing)]);
    let notice = rig.model.notice.as_ref().unwrap();
    assert!(notice.grave);
    assert_eq!(notice.text, "the shadow differs, first at #1189 tools/call search: .result.content[0].text");
    assert!(rig.picture().contains("shadow 41 same 1 differ 1 missing"));
}

#[test]
fn shadow_filter_finds_divergences_that_come_later() {
    let mut rig = busy(120, 36);
    rig.press("f");
    rig.typing("~shadow");
    rig.press("enter");
    assert!(rig.picture().contains("no message passes the filter"));
    on_event(&mut rig, &[compared(1189, ShadowVerdict::Differs)]);
    let (rows, list) = rig.model.messages();
    let shown: Vec<_> = (0..list.len(rows)).map(|at| list.row(rows, at).unwrap().envelope.seq).collect();
    assert_eq!(shown, [Seq(1189), Seq(1190)]);
}

#[test]
fn sessions_of_a_shadow_are_listed_and_their_messages_shown_when_chosen() {
    let mut rig = busy(120, 36);
    let before = rig.model.observed.stats.requests;
    let count = |rig: &Rig| {
        let (rows, list) = rig.model.messages();
        list.len(rows)
    };
    let all = count(&rig);
    shadow_session(&mut rig);
    assert_eq!((count(&rig), rig.model.observed.stats.requests), (all, before));
    let picture = rig.picture();
    assert!(picture.contains("shadow") && !picture.contains("of_the_shadow"), "{picture}");
    rig.press("s j j j j enter");
    assert_eq!(count(&rig), 2);
    assert!(rig.picture().contains("of_the_shadow"));
    rig.press("s k k k k enter");
    assert_eq!(count(&rig), all);
}

#[test]
fn title_counts_messages_of_a_shadow_apart_whatever_is_chosen() {
    let mut rig = busy(120, 36);
    shadow_session(&mut rig);
    let apart = "Messages 13 + 2 of the shadow (s)";
    for keys in ["", "P", "P f"] {
        if rig.press(keys).model.prompt.is_some() {
            rig.typing("~q").press("enter");
        }
        let picture = rig.picture();
        assert!(picture.contains(apart), "{keys}: {picture}");
    }
}

#[test]
fn resync_keeps_divergences() {
    let mut rig = busy(120, 36);
    let shadow = events(&[compared(1189, ShadowVerdict::Differs)]);
    shadow.iter().cloned().for_each(|event| rig.on_event(event));
    rig.on_event(Event::ResyncStarted);
    busy_events().into_iter().chain(shadow).for_each(|event| rig.on_event(event));
    rig.on_event(Event::ResyncDone);
    assert!(rig.model.observed.rows.divergence(Seq(1190)).is_some());
    assert_eq!(rig.model.observed.shadow.differs, 1);
}

#[test]
fn divergence_mark_has_an_ascii_form() {
    for (ascii, mark) in [(true, " %"), (false, " ≠")] {
        let mut rig = busy_with(120, 36, &Settings { ascii, ..Settings::default() });
        on_event(&mut rig, &[compared(1189, ShadowVerdict::Differs)]);
        assert!(rig.picture().contains(&format!("{mark} 1189")), "{}", rig.picture());
    }
}
