//! The table of keys against the screen: whatever the help lists for a place does something there.

use std::collections::BTreeSet;

use crossterm::event::{KeyCode, KeyEvent, KeyModifiers};
use ratatui::buffer::Buffer;
use ratatui::layout::{Position, Rect};

use super::rig::{Rig, busy};
use super::scenes::{PLACES, SCENES};
use crate::ui::key_press::KeyPress;
use crate::ui::keymap::{Action, BINDINGS, KeyContext, hints, meaning, way_out};
use crate::ui::view::key_at;

/// The press that the table calls so.
pub(super) fn event_of(name: &str) -> KeyEvent {
    let (modifiers, base) = match name.split_once(' ') {
        Some(("ctrl", base)) => (KeyModifiers::CONTROL, base),
        Some(("alt", base)) => (KeyModifiers::ALT, base),
        _ => (KeyModifiers::NONE, name),
    };
    let code = match base {
        "enter" => KeyCode::Enter,
        "esc" => KeyCode::Esc,
        "tab" => KeyCode::Tab,
        "shift tab" => KeyCode::BackTab,
        "backspace" => KeyCode::Backspace,
        "left" => KeyCode::Left,
        "right" => KeyCode::Right,
        "up" => KeyCode::Up,
        "down" => KeyCode::Down,
        "home" => KeyCode::Home,
        "end" => KeyCode::End,
        "pgup" => KeyCode::PageUp,
        "pgdn" => KeyCode::PageDown,
        "space" => KeyCode::Char(' '),
        "f1" => KeyCode::F(1),
        "f3" => KeyCode::F(3),
        "f4" => KeyCode::F(4),
        _ => KeyCode::Char(base.chars().next().filter(|_| base.chars().count() == 1).expect(name)),
    };
    let event = KeyEvent::new(code, modifiers);
    assert_eq!(KeyPress::of(&event).map(|press| press.name).as_deref(), Some(name));
    event
}

fn at(scene: fn(&mut Rig)) -> Rig {
    let mut rig = busy(120, 36);
    scene(&mut rig);
    rig.model.notice = None;
    rig.finish_scan();
    rig.effects.clear();
    rig
}

/// All that a key may change: the screen, its colours and its cursor, and what is done outside.
fn state(rig: &mut Rig) -> (Buffer, Position, String) {
    rig.finish_scan();
    let effects: Vec<String> = rig.effects.iter().map(|effect| format!("{effect:?}")).collect();
    (rig.buffer().clone(), rig.cursor(), effects.join("\n"))
}

/// Whether a key that leads out of a menu leaves the same behind: then it did nothing of its own.
fn same_as_escape(scene: fn(&mut Rig), after: &(Buffer, Position, String)) -> bool {
    let mut rig = at(scene);
    rig.press("esc");
    state(&mut rig) == *after
}

#[test]
fn every_key_of_the_help_does_something_where_the_help_shows_it() {
    const MENUS: [KeyContext; 6] =
        [KeyContext::Go, KeyContext::Fold, KeyContext::Copy, KeyContext::Write, KeyContext::Export, KeyContext::Toggle];
    let keys_of = |place: usize| BINDINGS[place].keys.iter().map(move |key| (place, *key));
    let mut left: BTreeSet<(usize, &str)> = (0..BINDINGS.len()).flat_map(keys_of).collect();
    for (_, scene) in SCENES.iter().chain(PLACES) {
        let here = at(*scene);
        let works: Vec<(usize, &str)> = left
            .iter()
            .filter(|(place, key)| {
                let meant = meaning(&here.model, &KeyPress::named(key));
                meant.is_some_and(|meant| std::ptr::eq(meant, &BINDINGS[*place]))
            })
            .copied()
            .collect();
        for (place, key) in works {
            let binding = &BINDINGS[place];
            let mut rig = at(*scene);
            let before = state(&mut rig);
            rig.event(event_of(key));
            let after = state(&mut rig);
            let is_menu = MENUS.contains(&binding.on) && binding.action != Action::Cancel;
            if before != after && !(is_menu && same_as_escape(*scene, &after)) {
                left.remove(&(place, key));
            }
        }
    }
    let left: Vec<String> = left
        .iter()
        .map(|(place, key)| format!("{:?} `{key}`: {}", BINDINGS[*place].on, BINDINGS[*place].help))
        .collect();
    assert!(left.is_empty(), "keys that do nothing anywhere:\n{}", left.join("\n"));
}

/// Wherever the help is opened, each key that it shows for that place does something there, or says why not.
#[test]
fn no_key_is_silent_in_a_place_where_the_help_shows_it() {
    // What is at an end already moves no further.
    let is_motion = |action| {
        matches!(action, Action::Move(_) | Action::Left | Action::Right | Action::Repaint)
            || matches!(action, Action::Older | Action::Newer | Action::CompleteBack)
    };
    let mut silent = Vec::new();
    for (name, scene) in SCENES.iter().chain(PLACES) {
        let here = at(*scene);
        let before = state(&mut at(*scene));
        for key in BINDINGS.iter().flat_map(|binding| binding.keys).collect::<BTreeSet<_>>() {
            // What is the same everywhere is tried once, above.
            let meant = meaning(&here.model, &KeyPress::named(key));
            let meant = meant.filter(|meant| !is_motion(meant.action) && meant.on != KeyContext::Everywhere);
            let Some(meant) = meant else { continue };
            let mut rig = at(*scene);
            rig.event(event_of(key));
            if state(&mut rig) == before {
                silent.push(format!("{name}: `{key}` ({:?}): {}", meant.on, meant.help));
            }
        }
    }
    assert!(silent.is_empty(), "{}", silent.join("\n"));
}

#[test]
fn key_line_always_has_the_ways_out_and_to_the_help() {
    for (name, scene) in SCENES.iter().chain(PLACES) {
        for (width, height) in [(80, 24), (60, 20), (60, 15), (40, 12)] {
            let mut rig = at(*scene);
            rig.resize(width, height);
            // What is searched for stands beside the keys, and in a small window in their place.
            if rig.model.notice.is_some() || (width < 60 && rig.model.search.is_some()) {
                continue;
            }
            let picture = rig.picture();
            let rows: Vec<&str> = picture.lines().rev().take(if width < 80 && height >= 16 { 2 } else { 1 }).collect();
            let has = |key: &str, hint: &str| rows.iter().any(|row| row.contains(&format!("{key} {hint}")));
            for (key, hint) in hints(&rig.model) {
                let is_out = way_out(&rig.model) == Some(key) || hint == "help";
                assert!(!is_out || has(key, hint), "{name} {width}x{height}: no `{key} {hint}` in\n{picture}");
            }
        }
    }
}

#[test]
fn narrow_queue_has_two_rows_of_keys() {
    let mut rig = busy(60, 20);
    rig.press("2");
    let picture = rig.picture();
    let lines: Vec<&str> = picture.lines().skip(18).collect();
    let keys = lines.concat();
    for hint in ["a forward", "b block", "B answer", "d drop", "o hold reply", "q back", "? help"] {
        assert!(keys.contains(hint), "{hint} in {picture}");
    }
    let (row, column) = (0..2).find_map(|row| Some((row, lines[row].find("d drop")?))).unwrap();
    let [row, column] = [row, column].map(|it| u16::try_from(it).unwrap());
    assert_eq!(key_at(&rig.model, Rect::new(0, 18, 60, 2), column, row), Some("d"));
}
