//! What a message says to people, and where its pictures lie.

use super::rig::{Rig, busy_with};
use super::scenes::content;
use crate::ui::model::Effect;
use crate::ui::{Graphics, GraphicsProtocol, Settings};

fn with_pictures(width: u16, height: u16) -> Rig {
    let graphics = Some(Graphics { protocol: GraphicsProtocol::Kitty, cell: (10, 20) });
    let mut rig = busy_with(width, height, &Settings { graphics, ..Settings::default() });
    content(&mut rig);
    rig
}

fn places(rig: &mut Rig) -> Vec<(u16, u16, u16, u16)> {
    rig.picture();
    rig.pictures.iter().map(|place| (place.area.x, place.area.y, place.area.width, place.area.height)).collect()
}

#[test]
fn picture_lies_on_its_own_rows_and_nothing_lies_under_it() {
    // 640x400 pixels on cells of 10x20, and no higher than the pane.
    let mut rig = with_pictures(200, 50);
    assert_eq!(places(&mut rig), [(2, 14, 64, 20)]);
    rig.press("?");
    assert_eq!(places(&mut rig), [], "the help lies over it");
    rig.press("esc");
    assert_eq!(places(&mut rig).len(), 1);
    rig.press("l");
    assert_eq!(places(&mut rig), [], "another side");
    rig.press("h 2");
    assert_eq!(places(&mut rig), [], "another screen");
}

#[test]
fn picture_is_seen_whole_or_not_at_all() {
    let mut rig = with_pictures(80, 24);
    assert_eq!(places(&mut rig), [], "it begins below what is seen");
    let mut seen = Vec::new();
    for _ in 0..40 {
        rig.press("j");
        seen.extend(places(&mut rig));
    }
    assert!(!seen.is_empty());
    for (_, y, width, height) in seen {
        assert!((3..=23 - height).contains(&y) && width <= 79, "{y} {width}x{height}");
    }
    rig.press("g g");
    assert_eq!(places(&mut rig), [], "it is below again");
}

#[test]
fn media_are_written_as_the_file_they_are() {
    let mut rig = with_pictures(120, 50);
    let saved = |rig: &mut Rig| {
        rig.press("w v");
        let effects = std::mem::take(&mut rig.effects);
        effects.into_iter().find_map(|effect| match effect {
            Effect::Save { name, bytes } => Some((name, bytes.len())),
            _ => None,
        })
    };
    rig.press("/").typing("image/png").press("enter");
    assert_eq!(saved(&mut rig), Some(("tapline-1208-image.png".to_owned(), 29)));
    rig.press("/").typing("wav").press("enter");
    assert_eq!(saved(&mut rig), Some(("tapline-1208-audio.wav".to_owned(), 44)));
    rig.press("/").typing("jpeg").press("enter");
    assert_eq!(saved(&mut rig), None);
    assert!(rig.model.notice.as_ref().unwrap().text.contains("not base64: invalid symbol 33"));
}
