//! Where keys are pressed: the order and the titles of the help.

use crate::ui::model::prompt::PromptKind;

/// Where a key is pressed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum KeyContext {
    /// A held message is selected in the message list.
    Held,
    List,
    Sessions,
    Detail,
    Queue,
    Tapes,
    Steps,
    Compare,
    Metrics,
    Events,
    Lint,
    Rules,
    RuleEditor,
    Editor,
    Prompt(PromptKind),
    Go,
    Fold,
    Copy,
    Write,
    Export,
    Toggle,
    PickSession,
    Help,
    Block,
    Rule,
    Offers,
    Play,
    AskQuit,
    AskAll,
    AskHold,
    AskRemoveRule,
    AskTape,
    Pager,
    Move,
    /// A command reads a message.
    Piping,
    /// Something is searched for.
    Search,
    Everywhere,
}

impl KeyContext {
    /// Every context, in the order of the help.
    pub(crate) const ALL: [Self; 45] = [
        Self::List,
        Self::Held,
        Self::Detail,
        Self::Sessions,
        Self::Queue,
        Self::Editor,
        Self::Block,
        Self::Rule,
        Self::Offers,
        Self::Play,
        Self::Tapes,
        Self::Steps,
        Self::Compare,
        Self::Metrics,
        Self::Events,
        Self::Lint,
        Self::Rules,
        Self::RuleEditor,
        Self::Move,
        Self::Search,
        Self::Piping,
        Self::Everywhere,
        Self::Go,
        Self::Fold,
        Self::Copy,
        Self::Write,
        Self::Export,
        Self::Toggle,
        Self::Prompt(PromptKind::Filter),
        Self::Prompt(PromptKind::Hold),
        Self::Prompt(PromptKind::Command),
        Self::Prompt(PromptKind::Search),
        Self::Prompt(PromptKind::Value),
        Self::Prompt(PromptKind::Pipe),
        Self::Prompt(PromptKind::Comment),
        Self::Prompt(PromptKind::TapeName),
        Self::Prompt(PromptKind::TapeNote),
        Self::PickSession,
        Self::Pager,
        Self::AskQuit,
        Self::AskAll,
        Self::AskHold,
        Self::AskRemoveRule,
        Self::AskTape,
        Self::Help,
    ];

    /// What a file calls it; places without a name have keys that are not changed.
    pub(crate) fn name_in_file(self) -> Option<&'static str> {
        Some(match self {
            Self::List => "messages",
            Self::Held => "held",
            Self::Detail => "detail",
            Self::Sessions => "sessions",
            Self::Queue => "queue",
            Self::Tapes => "tapes",
            Self::Steps => "steps",
            Self::Compare => "compared",
            Self::Metrics => "metrics",
            Self::Events => "events",
            Self::Lint => "lint",
            Self::Rules => "rules",
            Self::Move => "motion",
            Self::Search => "searching",
            Self::Piping => "piping",
            Self::Everywhere => "everywhere",
            Self::Go => "go-menu",
            Self::Fold => "fold-menu",
            Self::Copy => "copy-menu",
            Self::Write => "write-menu",
            Self::Export => "export-menu",
            Self::Toggle => "toggle-menu",
            _ => return None,
        })
    }

    /// Whether one key press may be looked up in both.
    pub(super) fn meets(self, other: Self) -> bool {
        const ALONE: [KeyContext; 6] = [
            KeyContext::Go,
            KeyContext::Fold,
            KeyContext::Copy,
            KeyContext::Write,
            KeyContext::Export,
            KeyContext::Toggle,
        ];
        const ALWAYS: [KeyContext; 4] =
            [KeyContext::Move, KeyContext::Search, KeyContext::Piping, KeyContext::Everywhere];
        const TOGETHER: [(KeyContext, KeyContext); 5] = [
            (KeyContext::Held, KeyContext::List),
            (KeyContext::Held, KeyContext::Detail),
            (KeyContext::Detail, KeyContext::List),
            (KeyContext::Queue, KeyContext::Detail),
            (KeyContext::Steps, KeyContext::Tapes),
        ];
        let is_screen = |it: Self| it.name_in_file().is_some() && !ALONE.contains(&it);
        let is_always = ALWAYS.contains(&self) || ALWAYS.contains(&other);
        let is_together = TOGETHER.contains(&(self, other)) || TOGETHER.contains(&(other, self));
        self == other || is_screen(self) && is_screen(other) && (is_always || is_together)
    }

    pub(crate) fn title(self) -> &'static str {
        match self {
            Self::Held => "a held message in the list",
            Self::List => "messages",
            Self::Sessions => "sessions",
            Self::Detail => "detail",
            Self::Queue => "queue",
            Self::Tapes => "tapes",
            Self::Steps => "steps of a replay",
            Self::Compare => "two tapes compared",
            Self::Metrics => "metrics",
            Self::Events => "events",
            Self::Lint => "lint",
            Self::Rules => "rules",
            Self::RuleEditor => "a rule as TOML",
            Self::Editor => "editor",
            Self::Prompt(PromptKind::Filter) => "filter line",
            Self::Prompt(PromptKind::Hold) => "hold line",
            Self::Prompt(PromptKind::Command) => "command line",
            Self::Prompt(PromptKind::Search) => "search line",
            Self::Prompt(PromptKind::Value) => "line of a value",
            Self::Prompt(PromptKind::Pipe) => "line of a pipe",
            Self::Prompt(PromptKind::Comment) => "line of a comment",
            Self::Prompt(PromptKind::TapeName) => "name of a tape",
            Self::Prompt(PromptKind::TapeNote) => "note on a tape",
            Self::Go => "after g",
            Self::Fold => "after z",
            Self::Copy => "after y",
            Self::Write => "after w",
            Self::Export => "after x",
            Self::Toggle => "after t",
            Self::PickSession => "choosing a session",
            Self::Help => "help",
            Self::Block => "block",
            Self::Rule => "a rule from a message",
            Self::Offers => "choosing what to call",
            Self::Play => "how tapes are played",
            Self::AskQuit => "quitting with held messages",
            Self::AskAll => "forwarding many",
            Self::AskHold => "hold off with held messages",
            Self::AskTape => "deleting a tape",
            Self::AskRemoveRule => "taking a rule away",
            Self::Pager => "long text",
            Self::Move => "motion",
            Self::Search => "searching",
            Self::Piping => "while a command runs",
            Self::Everywhere => "everywhere",
        }
    }
}
