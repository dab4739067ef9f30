//! Every lint: its code, how much it matters, where the specification says so, and what to do about it.
//!
//! Codes are stable: filters, `allow` and the reports of others' CI name them. Sections are those of revisions with a handshake;
//! [`LintRule::section_in`] has the places of 2026-07-28 that are others.

use crate::event::LintLevel;
use crate::mcp::era::is_modern_revision;

/// What a kind of finding is called, how bad it is, and where the specification speaks of it.
#[derive(Debug, PartialEq, Eq)]
pub struct LintRule {
    pub code: &'static str,
    pub level: LintLevel,
    /// Below `https://modelcontextprotocol.io/specification/<revision>/`.
    pub section: &'static str,
    /// What it finds, in a line.
    pub about: &'static str,
    pub hint: &'static str,
}

/// Chapters that moved with revision 2026-07-28.
const MOVED: [(&str, &str); 6] = [
    ("basic/lifecycle", "basic/versioning"),
    ("basic/utilities/progress", "basic/patterns/progress"),
    ("basic/utilities/cancellation", "basic/patterns/cancellation"),
    ("basic/transports#stdio", "basic/transports/stdio"),
    ("basic/transports#streamable-http", "basic/transports/streamable-http"),
    ("basic/transports", "basic/transports"),
];

impl LintRule {
    /// Where a revision says so.
    pub fn section_in(&self, revision: &str) -> String {
        let moved = MOVED.iter().find(|(old, _)| self.section.starts_with(old));
        match moved.filter(|_| is_modern_revision(revision)) {
            Some((old, new)) => format!("{new}{}", &self.section[old.len()..]),
            None => self.section.to_owned(),
        }
    }
}

/// The lint of this code.
pub fn lint_rule(code: &str) -> Option<&'static LintRule> {
    LINTS.iter().find(|rule| rule.code == code).copied()
}

macro_rules! lints {
    ($($name:ident = $level:ident $code:literal at $section:literal: $about:literal; $hint:literal.)*) => {
        $(pub(super) static $name: LintRule = LintRule {
            code: $code,
            level: LintLevel::$level,
            section: $section,
            about: $about,
            hint: $hint,
        };)*

        /// All of them, in the order of the protocol: form, order, carrier, lists, values, clients, cost.
        pub static LINTS: &[&LintRule] = &[$(&$name),*];
    };
}

lints! {
    STDOUT_NOISE = Error "stdout-noise" at "basic/transports#stdio":
        "a line on the server's stdout that is no message"; "write logs to stderr: stdout carries messages only".
    NOT_JSON_RPC = Error "not-json-rpc" at "basic#messages":
        "what was sent is no JSON-RPC message"; "send one JSON object with `method`, `result` or `error`, in UTF-8".
    JSON_RPC_FORM = Warn "json-rpc-form" at "basic#messages":
        "a message that is not quite JSON-RPC 2.0"; "send `jsonrpc`, and each member once; either `result` or `error`".
    BATCH = Warn "batch" at "basic#messages":
        "an array of messages in a revision without batches"; "send each message by itself".
    ID_FORM = Warn "id-form" at "basic#requests":
        "an id that is neither a string nor an integer"; "count up from 1".
    ID_TOO_LARGE = Info "id-too-large" at "basic#requests":
        "an id beyond 2^53, which others round or refuse"; "use smaller numbers, or strings".
    REPLY_WITHOUT_ID = Warn "reply-without-id" at "basic#responses":
        "a result without the id of its request"; "repeat the request's id, and answer no notifications".
    REPLY_ID_OTHER = Warn "reply-id-other" at "basic#responses":
        "a reply that spells the id otherwise: a string for a number, or the reverse"; "repeat the request's id as it came".
    REPLY_WITHOUT_REQUEST = Warn "reply-without-request" at "basic#responses":
        "a reply to no request that is open"; "answer each request once, under its own id".
    REPLY_TWICE = Warn "reply-twice" at "basic#responses":
        "a second reply to one request"; "answer each request once".
    REPLY_AFTER_CANCEL = Info "reply-after-cancel" at "basic/utilities/cancellation#behavior-requirements":
        "a reply to a request that had been taken back"; "stop, and send nothing more for it".
    ID_USED_TWICE = Warn "id-used-twice" at "basic#requests":
        "a request under an id that its sender has used before"; "count ids up and never begin again in a session".
    BEFORE_INITIALIZE = Warn "before-initialize" at "basic/lifecycle#initialization":
        "a request before the handshake was answered"; "wait for the reply to `initialize`".
    BEFORE_INITIALIZED = Info "before-initialized" at "basic/lifecycle#initialization":
        "the server asked something before the client had said `notifications/initialized`"; "wait for it".
    NEVER_INITIALIZED = Warn "never-initialized" at "basic/lifecycle#initialization":
        "the client never said `notifications/initialized`"; "send it right after the reply to `initialize`".
    CANCEL_INITIALIZE = Warn "cancel-initialize" at "basic/utilities/cancellation#behavior-requirements":
        "`initialize` was taken back"; "close the connection instead".
    SERVER_REQUEST = Error "server-request" at "basic/patterns/mrtr":
        "the server sent a request in a revision in which only clients do"; "answer with `input_required` and ask in the result".
    PROGRESS_UNKNOWN = Warn "progress-unknown" at "basic/utilities/progress#behavior-requirements":
        "progress for a token that no request has given"; "repeat `_meta.progressToken` of the request, with its type".
    PROGRESS_AFTER_END = Warn "progress-after-end" at "basic/utilities/progress#behavior-requirements":
        "progress after the reply"; "send the reply last".
    PROGRESS_BACKWARDS = Warn "progress-backwards" at "basic/utilities/progress#progress-flow":
        "progress that does not increase"; "count up, also where the total is not known".
    PROGRESS_TOKEN_TWICE = Warn "progress-token-twice" at "basic/utilities/progress#progress-flow":
        "a progress token that another open request has"; "take a new token for each request".
    CAPABILITY_UNDECLARED = Warn "capability-undeclared" at "basic/lifecycle#capability-negotiation":
        "something was used that the other side had not declared"; "look at its capabilities first".
    CAPABILITY_OWN_UNDECLARED = Warn "capability-own-undeclared" at "basic/lifecycle#capability-negotiation":
        "something was sent that its sender had not declared"; "declare the capability, or send nothing of it".
    CAPABILITY_REFUSED = Error "capability-refused" at "basic/lifecycle#capability-negotiation":
        "a method of a declared capability was refused as unknown"; "declare what is there, and nothing else".
    LIST_CHANGED_UNDECLARED = Warn "list-changed-undeclared" at "basic/lifecycle#capability-negotiation":
        "a list changed, and `listChanged` was not declared"; "declare `listChanged: true` beside the list".
    VERSION_HEADER_MISSING = Warn "version-header-missing" at "basic/transports#protocol-version-header":
        "an HTTP request without `MCP-Protocol-Version`"; "send the agreed revision with every request after `initialize`".
    VERSION_HEADER_OTHER = Warn "version-header-other" at "basic/transports#protocol-version-header":
        "`MCP-Protocol-Version` is another revision than was agreed on, or than the body says"; "send the agreed revision".
    MIRROR_HEADER_MISSING = Warn "mirror-header-missing" at "basic/transports#streamable-http":
        "an HTTP request without the header that repeats its body"; "send `Mcp-Method`, and `Mcp-Name` where there is a name".
    MIRROR_HEADER_OTHER = Error "mirror-header-other" at "basic/transports#streamable-http":
        "a header that should repeat the body says something else"; "take `Mcp-Method` and `Mcp-Name` from the body".
    ACCEPT_HEADER = Warn "accept-header" at "basic/transports#sending-messages-to-the-server":
        "a POST whose `Accept` does not list both types"; "send `Accept: application/json, text/event-stream`".
    SESSION_ID_MISSING = Warn "session-id-missing" at "basic/transports#session-management":
        "a request without the session id that the server gave"; "send `Mcp-Session-Id` with every request after `initialize`".
    SESSION_ID_OTHER = Warn "session-id-other" at "basic/transports#session-management":
        "a request with another session id than the server gave"; "repeat the id as it came".
    SESSION_ID_FORM = Warn "session-id-form" at "basic/transports#session-management":
        "a session id with other than visible ASCII characters"; "use a UUID".
    SESSION_ID_UNASKED = Warn "session-id-unasked" at "basic/transports#session-management":
        "a session id given again in the middle of a session"; "give it with the reply to `initialize`, and only there".
    LIST_CURSOR_TWICE = Error "list-cursor-twice" at "server/utilities/pagination#pagination-model":
        "a list whose next page is one that was already asked for: it never ends"; "leave `nextCursor` out on the last page".
    LIST_ENDLESS = Warn "list-endless" at "server/utilities/pagination#pagination-model":
        "a list of more than 200 pages"; "make pages larger, or end the list".
    WRONG_CODE_METHOD = Info "wrong-code-method" at "basic#responses":
        "a method that is not there was refused with another code than -32601"; "answer -32601 (method not found)".
    WRONG_CODE_TOOL = Info "wrong-code-tool" at "server/tools#error-handling":
        "a tool that is not there was not refused with -32602"; "answer with the error -32602".
    WRONG_CODE_RESOURCE = Info "wrong-code-resource" at "server/resources#error-handling":
        "a resource that is not there was refused with another code than the revision has"; "answer -32002 up to 2025-11-25, -32602 from 2026-07-28 on".
    WRONG_CODE_PROMPT = Info "wrong-code-prompt" at "server/prompts#error-handling":
        "a prompt that is not there was refused with another code than -32602"; "answer -32602 (invalid params)".
    NEVER_ANSWERED = Info "never-answered" at "basic/lifecycle#timeouts":
        "a request that got no reply before the session ended"; "answer every request, with an error if need be".
    ERROR_WITHOUT_ID = Info "error-without-id" at "basic#responses":
        "an error that names no request, while some are open"; "read the id even of what cannot be taken, and repeat it".
    SLOW_REPLY = Info "slow-reply" at "basic/lifecycle#timeouts":
        "a reply after more than a minute"; "begin a task, or send progress to clients that heed it".
    HTTP_STATUS = Info "http-status" at "basic/transports#sending-messages-to-the-server":
        "an HTTP status that clients take for different things"; "look what the client does with it".
    PROTOCOL_SHAPE = Error "protocol-shape" at "schema":
        "a value that the schema of the revision does not have, or one that is missing"; "compare with the schema of that revision".
    RESULT_MEMBERS = Warn "result-members" at "schema":
        "a result without what each has from 2026-07-28 on"; "add `resultType`, and to lists `ttlMs` and `cacheScope`".
    TOOL_NAME_TWICE = Error "tool-name-twice" at "server/tools#tool-names":
        "two tools of one name in a list"; "give each tool a name of its own".
    TOOL_INPUT_SCHEMA = Error "tool-input-schema" at "server/tools#tool":
        "a tool without an `inputSchema` of `type: object`"; "write `{\"type\": \"object\"}` where there are no arguments".
    SCHEMA_BROKEN = Error "schema-broken" at "basic#json-schema-usage":
        "a schema that does not compile"; "check it against the dialect that `$schema` names, or 2020-12".
    SCHEMA_REMOTE = Warn "schema-remote" at "basic#json-schema-usage":
        "a schema that refers to another document, which is not fetched"; "put what it refers to into `$defs`".
    SCHEMA_RECURSIVE = Info "schema-recursive" at "basic#json-schema-usage":
        "a schema that refers to itself: nothing is judged by it"; "say how deep it goes, or leave the inner part open".
    SCHEMA_PATTERN = Warn "schema-pattern" at "basic#json-schema-usage":
        "a pattern that is no regular expression of ECMAScript, which validators read it as"; "leave out `(?i)`, `\\Z` and needless escapes".
    TOOL_NOT_LISTED = Info "tool-not-listed" at "server/tools#calling-tools":
        "a call of a tool that the server has not listed"; "list again, and call what is there".
    TOOL_ARGUMENTS = Warn "tool-arguments" at "server/tools#calling-tools":
        "arguments that do not fit the tool's `inputSchema`"; "look at the schema; the server may refuse them".
    TOOL_RESULT = Error "tool-result" at "server/tools#output-schema":
        "`structuredContent` that does not fit the tool's `outputSchema`"; "change the one or the other".
    TOOL_RESULT_MISSING = Error "tool-result-missing" at "server/tools#output-schema":
        "a result without `structuredContent` from a tool with an `outputSchema`"; "add it, or take the schema away".
    ELICITATION_ANSWER = Warn "elicitation-answer" at "client/elicitation#requested-schema":
        "an answer that does not fit the schema that was asked for"; "check what the user typed before it is sent".
    COST_TOOL_LIST = Note "cost-tool-list" at "server/tools#listing-tools":
        "a list of tools that takes much of a model's context"; "offer fewer tools, or say less of each".
    COST_DESCRIPTION = Note "cost-description" at "server/tools#tool":
        "a long description of a tool"; "say what the tool does in a few lines".
    COST_UNUSED_TOOLS = Note "cost-unused-tools" at "server/tools#listing-tools":
        "tools that were listed and not called"; "leave out, or filter, what is not used".
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn codes_are_unique_and_written_alike() {
        let mut codes: Vec<_> = LINTS.iter().map(|rule| rule.code).collect();
        assert!(codes.iter().all(|code| code.bytes().all(|it| it.is_ascii_lowercase() || it == b'-')), "{codes:?}");
        codes.sort_unstable();
        codes.dedup();
        assert_eq!(codes.len(), LINTS.len());
        for rule in LINTS {
            assert!(!rule.about.ends_with('.') && !rule.hint.ends_with('.'), "{}", rule.code);
        }
    }

    #[test]
    fn sections_moved_with_the_modern_era() {
        let section = |revision| PROGRESS_BACKWARDS.section_in(revision);
        assert_eq!(section("2025-11-25"), "basic/utilities/progress#progress-flow");
        assert_eq!(section("2026-07-28"), "basic/patterns/progress#progress-flow");
        assert_eq!(BATCH.section_in("2026-07-28"), "basic#messages");
    }
}
