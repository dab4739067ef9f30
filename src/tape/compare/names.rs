//! What the name of a value says of it: a member of an object, or the words before a number in a text.

/// What a name says of a number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Measure {
    Pid,
    Port,
    Duration,
    /// Bytes, memory, load: what a machine has or does at the moment.
    Usage,
}

impl Measure {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Pid => "pid",
            Self::Port => "port",
            Self::Duration => "duration",
            Self::Usage => "usage",
        }
    }
}

/// The words of a name, in lower case: `executionTimeMs`, `execution_time_ms`.
pub(super) fn words_of(name: &str) -> Vec<String> {
    let mut words: Vec<String> = Vec::new();
    let mut previous = ' ';
    for c in name.chars() {
        if c.is_alphanumeric() {
            if !previous.is_alphanumeric() || c.is_uppercase() && !previous.is_uppercase() {
                words.push(String::new());
            }
            if let Some(word) = words.last_mut() {
                word.extend(c.to_lowercase());
            }
        }
        previous = c;
    }
    words
}

/// Times that a program takes by the clock: what stands before `time`.
const TIMED: [&str; 19] = [
    "execution",
    "exec",
    "response",
    "run",
    "running",
    "process",
    "processing",
    "query",
    "wall",
    "cpu",
    "total",
    "build",
    "load",
    "fetch",
    "request",
    "compute",
    "elapsed",
    "start",
    "startup",
];

/// What was done `in` some time.
const DONE: [&str; 12] = [
    "completed",
    "finished",
    "done",
    "ran",
    "executed",
    "returned",
    "responded",
    "loaded",
    "built",
    "processed",
    "indexed",
    "ready",
];

/// What a number of this name is; `None` for what should not change.
pub(super) fn measure(words: &[String]) -> Option<Measure> {
    let has = |any: &[&str]| words.iter().any(|word| any.contains(&word.as_str()));
    let is_pair = |first: &[&str], second: &str| {
        words.windows(2).any(|pair| first.contains(&pair[0].as_str()) && pair[1] == second)
    };
    if has(&["pid", "ppid", "pgid", "pids"]) || is_pair(&["process"], "id") {
        return Some(Measure::Pid);
    }
    if has(&["port", "ports"]) {
        return Some(Measure::Port);
    }
    let is_duration = has(&["uptime", "elapsed", "duration", "durations", "latency", "runtime", "took"])
        || is_pair(&TIMED, "time")
        || is_pair(&["time"], "ms")
        || is_pair(&DONE, "in");
    if is_duration {
        return Some(Measure::Duration);
    }
    let is_usage = has(&["rss", "memory", "mem", "freemem", "heap", "cpu", "loadavg", "bytes"])
        || is_pair(&["array"], "buffers")
        || is_pair(&["load"], "average");
    is_usage.then_some(Measure::Usage)
}

/// `createdAt`, `last_modified_time`, `timestamp`, `expires`.
pub(super) fn names_a_time(key: &str) -> bool {
    let lower = key.to_ascii_lowercase();
    let parts = ["time", "date", "expires", "expiry", "created", "modified"];
    parts.iter().any(|part| lower.contains(part)) || key.ends_with("At") || lower.ends_with("_at") || lower == "ts"
}

/// Members of the protocol whose values a server makes up, for the client to hand back as they are, whatever they look
/// like (mcp-wire.md §3, identifiers).
const OPAQUE: [&str; 6] = [
    "nextCursor",
    "taskId",
    "requestState",
    "elicitationId",
    "subscriptionId",
    "io.modelcontextprotocol/subscriptionId",
];

/// Members that a tool may use as well, for something that a person wrote.
const TOKENS: [&str; 3] = ["cursor", "sessionId", "progressToken"];

pub(super) fn is_opaque_name(key: &str) -> bool {
    OPAQUE.contains(&key)
}

/// Whether a member of this name holds a token of the server's.
pub(super) fn is_token_name(key: &str) -> bool {
    let plain: String = key.chars().filter(|c| !matches!(c, '-' | '_')).collect();
    is_opaque_name(key) || TOKENS.contains(&key) || plain.to_ascii_lowercase().ends_with("sessionid")
}

/// Whether a member of this name holds something to hand back.
pub(super) fn is_handle_name(key: &str) -> bool {
    let named = ["Id", "_id", "Token", "_token", "Cursor", "_cursor", "Handle", "_handle", "State", "_state"];
    named.iter().any(|end| key.ends_with(end)) || matches!(key, "id" | "token" | "handle")
}

/// Nothing that a person would write: no word, no sentence.
pub(crate) fn is_token(text: &str) -> bool {
    let visible = text.bytes().all(|byte| byte.is_ascii_graphic());
    visible && (text.len() >= 16 || text.len() >= 4 && text.bytes().any(|byte| byte.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn measure_is_said_by_the_name() {
        for (name, expected) in [
            ("pid", Some(Measure::Pid)),
            ("serverPid", Some(Measure::Pid)),
            ("process_id", Some(Measure::Pid)),
            ("Process ID", Some(Measure::Pid)),
            ("debugPort", Some(Measure::Port)),
            ("uptime_seconds", Some(Measure::Duration)),
            ("executionTimeMs", Some(Measure::Duration)),
            ("completed in", Some(Measure::Duration)),
            ("heapUsed", Some(Measure::Usage)),
            ("bytes_sent", Some(Measure::Usage)),
            ("MemAvailable", Some(Measure::Usage)),
            ("rapid", None),
            ("support", None),
            ("size", None),
            ("timeoutMs", None),
            ("time", None),
            ("count", None),
            ("steps in", None),
        ] {
            assert_eq!(measure(&words_of(name)), expected, "{name}");
        }
    }
}
