//! A stream of events.

use bytes::Bytes;
use tapline::sse::{Frame, Splitter, frame, replace_data};

use crate::engine::fuzz;

#[test]
fn sse_stream_is_cut_without_losing_a_byte() {
    fuzz("sse", |input| {
        let (frames, torn) = split(input, input.len());
        let mut whole: Vec<u8> = frames.iter().flat_map(|frame| frame.raw.to_vec()).collect();
        whole.extend_from_slice(&torn);
        assert_eq!(whole, input, "frames and what is left are the stream");
        for size in [1, 2, 7] {
            assert_eq!(split(input, size), (frames.clone(), torn.clone()), "whatever the chunks were, here of {size}");
        }
        for it in &frames {
            let replaced = replace_data(&it.raw, b"{}");
            let (again, rest) = split(&replaced, replaced.len());
            assert!(again.len() <= 1 && rest.is_empty(), "an edit makes no second event of one");
        }
        // What we frame is one event with these very data, unless they have line ends of their own.
        if !input.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            let (framed, rest) = split(&frame(input), usize::MAX);
            assert_eq!((framed.len(), framed[0].data.as_deref(), rest.len()), (1, Some(input), 0));
        }
    });
}

fn split(stream: &[u8], size: usize) -> (Vec<Frame>, Bytes) {
    let mut splitter = Splitter::default();
    let mut frames = Vec::new();
    for chunk in stream.chunks(size.max(1)) {
        frames.extend(splitter.push(Bytes::copy_from_slice(chunk)));
    }
    (frames, splitter.finish().unwrap_or_default())
}
