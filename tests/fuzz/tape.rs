//! A tape, which may be of anybody.

use std::path::Path;

use tapline::tape::Tape;

use crate::engine::fuzz;

#[test]
fn tape_is_read_as_far_as_it_can_be() {
    fuzz("tape", |input| {
        let path = Path::new("fuzz.tape.jsonl");
        let Ok(tape) = Tape::read_from(path, input) else { return };
        assert!(tape.troubles().len() >= tape.problems.len().min(1), "what is wrong with it is told");
        // A tapline that is killed leaves a tape that ends anywhere.
        let header = input.iter().position(|byte| *byte == b'\n').map_or(input.len(), |at| at + 1);
        let cut = header.max(input.len() / 2);
        let half = Tape::read_from(path, &input[..cut]).expect("the header is there");
        assert!(half.envelopes.len() <= tape.envelopes.len());
        for (half, whole) in half.envelopes.iter().zip(&tape.envelopes) {
            assert_eq!(
                (half.seq, half.message.raw()),
                (whole.seq, whole.message.raw()),
                "what was read before still is"
            );
        }
    });
}
