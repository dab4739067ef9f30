//! Marks and comments: of the list that is shown, and by a command on the tapes as well.

use super::Model;
use crate::event::{AnnotateRequest, Annotation, Command};

impl Model {
    /// Notes something of messages of the list that is shown.
    pub(crate) fn annotate(&mut self, annotations: Vec<Annotation>) {
        if annotations.is_empty() {
            return;
        }
        let (rows, list) = self.rows_mut();
        let mut is_kept = true;
        for noted in &annotations {
            rows.annotate(noted.clone());
            list.changed(rows, noted.seq, false);
            is_kept &= noted.mark.is_empty() || rows.session(noted.session).is_some_and(|it| it.tape.is_some());
        }
        if let Some(tape) = &mut self.tape {
            tape.noted.extend(annotations.iter().map(|noted| noted.seq));
        }
        let tape = self.tape.as_ref().map(|tape| tape.path.clone());
        if tape.is_none() && !is_kept {
            self.notify("nothing is recorded: marks and comments last for as long as tapline runs");
        }
        self.send(Command::Annotate(AnnotateRequest { tape, annotations }));
    }

    /// Something was noted, here or on another screen.
    pub(super) fn on_annotated(&mut self, noted: &Annotation) {
        let rebuilt = self.resync.rebuild.iter_mut().map(|rebuild| &mut rebuild.rows);
        for rows in rebuilt.chain([&mut self.observed.rows]) {
            // A session of before, which has other messages under the same numbers, is not meant.
            if rows.annotation(noted.seq).is_some_and(|now| now.session == noted.session) {
                rows.annotate(noted.clone());
            }
        }
        self.live.changed(&self.observed.rows, noted.seq, false);
    }
}
