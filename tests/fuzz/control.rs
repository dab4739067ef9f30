//! What a control address tells a screen, and what a screen tells it.

use tapline::control::FeedLine;
use tapline::control::merge::{About, Merge, Numbering, SourceId};
use tapline::event::{Command, Event};

use crate::engine::fuzz;

#[test]
fn control_lines_are_taken_or_refused() {
    fuzz("control", |input| {
        let mut merge = Merge::new(Numbering::Common);
        let about = || About { name: "a".to_owned(), front: "b".to_owned(), upstream: "c".to_owned(), pid: None };
        merge.join(SourceId(1), about());
        merge.join(SourceId(2), about());
        for line in input.split(|byte| *byte == b'\n') {
            if let Ok(FeedLine::Event(event)) = FeedLine::read(line) {
                let written = serde_json::to_vec(&event).expect("what was read can be written");
                serde_json::from_slice::<Event>(&written).expect("and read again");
                for source in [1, 2] {
                    merge.on_event(SourceId(source), (*event).clone());
                }
            }
            if let Ok(command) = serde_json::from_slice::<Command>(line) {
                let _ = merge.route(command);
            }
        }
        merge.remove(SourceId(1), "gone");
    });
}
