//! The few words that are looked for in every message while it is read.

/// What a message is asked for by those it passes: a string of exactly this text, as a key or as a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KnownWord {
    /// The key `isError`, and `true` after it.
    FailedResult,
    RequestState,
    InputResponses,
    InputRequired,
    TaskId,
    Tools,
    McpHeader,
    /// The key `_meta`, or an escape such as `\u005f`, which may be part of another spelling of it.
    Meta,
}

/// Those that stand in a message.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct KnownWords(u8);

impl KnownWords {
    pub(super) fn has(self, word: KnownWord) -> bool {
        self.0 & (1 << word as u8) != 0
    }

    pub(super) fn add(&mut self, word: KnownWord) {
        self.0 |= 1 << word as u8;
    }

    /// Looks for the members of a message that is not valid JSON, as far as they can be found.
    pub(super) fn search(raw: &[u8]) -> Self {
        let (mut words, mut at) = (Self::default(), 0);
        if memchr::memmem::find(raw, b"\\u").is_some() {
            words.add(KnownWord::Meta);
        }
        while let Some(found) = memchr::memchr(b'"', &raw[at..]) {
            let start = at + found + 1;
            at = start;
            // Any quote may begin a string, where it is not known which do.
            if let Some(end) = memchr::memchr(b'"', &raw[start..raw.len().min(start + LONGEST_WORD + 1)]) {
                let key = start..start + end;
                at = key.end;
                let says_true = || {
                    let value = raw[key.end + 1..].trim_ascii_start().strip_prefix(b":");
                    value.is_some_and(|value| value.trim_ascii_start().starts_with(b"true"))
                };
                match word(&raw[key.clone()]) {
                    Some(KnownWord::FailedResult) if !says_true() => {}
                    Some(word) => words.add(word),
                    None => {}
                }
            }
        }
        words
    }
}

/// Bytes of the longest of them.
pub(super) const LONGEST_WORD: usize = 14;

pub(super) fn word(text: &[u8]) -> Option<KnownWord> {
    Some(match text {
        b"isError" => KnownWord::FailedResult,
        b"requestState" => KnownWord::RequestState,
        b"inputResponses" => KnownWord::InputResponses,
        b"input_required" => KnownWord::InputRequired,
        b"taskId" => KnownWord::TaskId,
        b"tools" => KnownWord::Tools,
        b"x-mcp-header" => KnownWord::McpHeader,
        b"_meta" => KnownWord::Meta,
        _ => return None,
    })
}
