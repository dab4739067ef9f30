//! What lies over the screen and takes the keys: questions, forms, key lists.

use super::input_line::InputLine;
use super::motion::ListCursor;
use super::offers::OfferList;
use super::play_form::PlayForm;
use super::rule_form::RuleForm;
use super::wrapped_text::wrapped;
use crate::envelope::Seq;
use crate::event::{BlockError, CallStanding, Ticket};
use crate::mcp::error_code::ErrorCode;

pub(crate) enum Popup {
    Prefix(Prefix),
    Sessions(ListCursor),
    Help(Help),
    Block(BlockForm),
    Rule(Box<RuleForm>),
    Offers(Box<OfferList>),
    Play(Box<PlayForm>),
    Confirm(Confirmation),
    Pager(Pager),
}

/// A key that waits for a second one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Prefix {
    Go,
    Fold,
    Copy,
    Write,
    Export,
    Toggle,
}

/// A question before something that cannot be taken back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Confirmation {
    Quit,
    ForwardAll,
    HoldOff,
    RemoveRule,
    DeleteTape,
}

#[derive(Default)]
pub(crate) struct Help {
    /// The search text: only lines that contain it are shown.
    pub(crate) search: InputLine,
    pub(crate) top: usize,
}

/// What a long text is about: where that goes on, the text does.
pub(crate) enum PagerSubject {
    Text,
    /// Why this call has no reply, with what the core saw of it.
    Why(Seq, Option<Box<CallStanding>>),
    Timeline(SessionPart),
    Sequence(SessionPart),
}

impl PagerSubject {
    /// What comes next stands at its end, which is what is looked at.
    fn is_followed(&self) -> bool {
        matches!(self, Self::Timeline(SessionPart::Newest(_)) | Self::Sequence(SessionPart::Newest(_)))
    }

    /// The message that it is around.
    fn middle(&self) -> Option<Seq> {
        match self {
            Self::Timeline(SessionPart::Around(near)) | Self::Sequence(SessionPart::Around(near)) => Some(*near),
            _ => None,
        }
    }
}

/// Which messages of a session a text is about, where that has too many.
#[derive(Clone, Copy)]
pub(crate) enum SessionPart {
    /// Those around this one.
    Around(Seq),
    /// The newest; this was the newest when it was asked for.
    Newest(Seq),
}

/// A long text by itself.
pub(crate) struct Pager {
    pub(crate) title: String,
    pub(crate) text: String,
    /// Lines begin with the sign of a difference.
    pub(crate) is_diff: bool,
    pub(crate) subject: PagerSubject,
    /// The second, and the columns of the window, that it was written for; `None`: it is to be written anew.
    pub(crate) written_for: Option<(u64, u16)>,
    /// The text in lines of the width it is shown with.
    pub(crate) lines: Vec<String>,
    width: usize,
    pub(crate) top: usize,
    pub(crate) height: usize,
    /// The message that is to come into sight, until the height of the window is known.
    goal: Option<Seq>,
}

impl Pager {
    pub(crate) fn new(title: String, text: String) -> Self {
        Self {
            title,
            text,
            is_diff: false,
            subject: PagerSubject::Text,
            written_for: None,
            lines: Vec::new(),
            width: 0,
            top: 0,
            height: 0,
            goal: None,
        }
    }

    /// A text on something that goes on; what is followed is read from its end, what is around a message from there.
    pub(crate) fn on(subject: PagerSubject, title: String, text: String) -> Self {
        let top = if subject.is_followed() { usize::MAX } else { 0 };
        Self { goal: subject.middle(), subject, top, ..Self::new(title, text) }
    }

    /// The line of the message that the text is around; of a reply without one, that of what it answers.
    pub(crate) fn middle(&self) -> Option<usize> {
        self.line_of(self.subject.middle()?)
    }

    fn line_of(&self, message: Seq) -> Option<usize> {
        let number = |line: &String| message_of(line)?.strip_prefix('#')?.parse().ok().map(Seq);
        self.lines.iter().rposition(|line| number(line).is_some_and(|it| it <= message))
    }

    /// Takes another text in its place. Who is at its end stays there; who reads elsewhere keeps the message at the top in sight,
    /// though older ones leave the text.
    pub(crate) fn replace(&mut self, text: String) {
        if self.text == text {
            return;
        }
        let is_at_end = self.top.saturating_add(self.height) >= self.lines.len();
        let read = self.lines.get(self.top).and_then(|line| message_of(line)).map(str::to_owned);
        self.text = text;
        self.break_lines();
        if is_at_end && (self.top > 0 || self.subject.is_followed()) {
            self.top = self.lines.len().saturating_sub(self.height);
        } else if let Some(read) = read {
            // Of one that has left, the oldest that is still there is the nearest.
            self.top = self.lines.iter().position(|line| message_of(line) == Some(&read)).unwrap_or_default();
        }
    }

    /// Breaks the text into lines again where the width changed.
    pub(crate) fn frame(&mut self, width: usize, height: usize) {
        if self.width != width {
            self.width = width;
            self.break_lines();
        }
        self.height = height;
        if let Some(line) = self.goal.take().and_then(|goal| self.line_of(goal)) {
            self.top = line.saturating_sub(height / 2);
        }
        self.top = self.top.min(self.lines.len().saturating_sub(height));
    }

    fn break_lines(&mut self) {
        let width = self.width.max(1);
        self.lines = self.text.lines().flat_map(|line| wrapped(line, width)).map(str::to_owned).collect();
    }
}

/// The number of the message that a line of a diagram is about.
fn message_of(line: &str) -> Option<&str> {
    line.split_whitespace().next().filter(|word| word.starts_with('#'))
}

/// The answer that a blocked message gets, being filled in.
pub(crate) struct BlockForm {
    pub(crate) ticket: Ticket,
    /// What is blocked, for the title.
    pub(crate) what: String,
    pub(crate) presets: &'static [BlockPreset],
    pub(crate) preset: usize,
    pub(crate) code: InputLine,
    pub(crate) message: InputLine,
    pub(crate) data: InputLine,
    pub(crate) field: BlockField,
    pub(crate) fault: Option<String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum BlockField {
    Preset,
    Code,
    Message,
    Data,
}

pub(crate) struct BlockPreset {
    pub(crate) name: &'static str,
    /// `None`: a tool result with `isError: true`.
    pub(crate) code: Option<i64>,
    message: &'static str,
}

/// Codes of tapline's own stay clear of -32768..-32000, which JSON-RPC 2.0 §5.1 reserves.
const PRESETS: [BlockPreset; 5] = [
    BlockPreset {
        name: "blocked by operator",
        code: Some(ErrorCode::Blocked.number()),
        message: "blocked by operator",
    },
    BlockPreset { name: "method not found", code: Some(-32601), message: "Method not found" },
    BlockPreset { name: "invalid params", code: Some(-32602), message: "Invalid params" },
    BlockPreset { name: "internal error", code: Some(-32603), message: "Internal error" },
    BlockPreset { name: "tool result with isError", code: None, message: "blocked by operator" },
];

impl BlockForm {
    /// `tool`: the message belongs to a tool call, so a failed tool result is an answer too.
    pub(crate) fn new(ticket: Ticket, what: String, tool: bool) -> Self {
        let presets = if tool { &PRESETS[..] } else { &PRESETS[..4] };
        let (code, message, data) = (InputLine::default(), InputLine::default(), InputLine::default());
        let mut form =
            Self { ticket, what, presets, preset: 0, code, message, data, field: BlockField::Preset, fault: None };
        form.choose(0);
        form
    }

    pub(crate) fn is_tool_result(&self) -> bool {
        self.presets[self.preset].code.is_none()
    }

    pub(crate) fn choose(&mut self, preset: usize) {
        self.preset = preset.min(self.presets.len() - 1);
        let BlockPreset { code, message, .. } = &self.presets[self.preset];
        self.code = InputLine::new(&code.map(|code| code.to_string()).unwrap_or_default());
        self.message = InputLine::new(message);
        self.fault = None;
    }

    fn fields(&self) -> &'static [BlockField] {
        if self.is_tool_result() {
            &[BlockField::Preset, BlockField::Message]
        } else {
            &[BlockField::Preset, BlockField::Code, BlockField::Message, BlockField::Data]
        }
    }

    pub(crate) fn next_field(&mut self, by: isize) {
        let fields = self.fields();
        let position = fields.iter().position(|field| *field == self.field).unwrap_or(0);
        let next = (position.cast_signed() + by).rem_euclid(fields.len().cast_signed());
        self.field = fields[next.cast_unsigned()];
    }

    /// Up and down: through the presets while the cursor is there, else through the fields.
    pub(crate) fn step(&mut self, by: isize) {
        match (self.field, self.preset.checked_add_signed(by)) {
            (BlockField::Preset, Some(preset)) if preset < self.presets.len() => self.choose(preset),
            _ => self.next_field(by),
        }
    }

    pub(crate) fn line(&mut self) -> Option<&mut InputLine> {
        self.fault = None;
        match self.field {
            BlockField::Preset => None,
            BlockField::Code => Some(&mut self.code),
            BlockField::Message => Some(&mut self.message),
            BlockField::Data => Some(&mut self.data),
        }
    }

    /// What was filled in; where it is nothing that can be sent, the form says why.
    pub(crate) fn error(&mut self) -> Option<BlockError> {
        let message = self.message.text().to_owned();
        if self.is_tool_result() {
            return Some(BlockError::ToolResult { text: message });
        }
        let Ok(code) = self.code.text().trim().parse() else {
            self.fault = Some("the code is not a whole number".to_owned());
            return None;
        };
        let data = self.data.text().trim();
        if let Err(fault) = super::super::json::check(data)
            && !data.is_empty()
        {
            self.fault = Some(format!("data is not JSON: {} at column {}", fault.why, fault.column));
            return None;
        }
        let data = (!data.is_empty()).then(|| data.to_owned());
        Some(BlockError::JsonRpc { code, message, data })
    }

    /// The answer without asking: what `X` sends.
    pub(crate) fn preset() -> BlockError {
        let BlockPreset { code, message, .. } = &PRESETS[0];
        BlockError::JsonRpc {
            code: code.unwrap_or(ErrorCode::Blocked.number()),
            message: (*message).to_owned(),
            data: None,
        }
    }
}
