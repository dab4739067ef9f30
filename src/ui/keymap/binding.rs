//! What keys can do, and a key of one place.

use super::context::KeyContext;
use crate::event::TapeForm;
use crate::ui::model::motion::Motion;
use crate::ui::model::prompt::PromptKind;
use crate::ui::model::{Model, ScreenKind};

/// Everything a key can do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    Move(Motion),
    Left,
    Right,
    Screen(ScreenKind),
    NextPane,
    PreviousPane,
    Zoom,
    Open,
    Back,
    Quit,
    Interrupt,
    Help,
    Go,
    Type(PromptKind),
    ToggleFilter,
    Follow,
    Pair,
    Pairs,
    NextError,
    NextHeld,
    SearchNext,
    SearchPrevious,
    EndSearch,
    PickSession,
    Hold,
    Forward,
    ForwardAll,
    ForwardAllNow,
    Step,
    HoldReply,
    KeepPatient,
    Edit,
    EditValue,
    TurnValue,
    Pick,
    WholeText,
    Block,
    BlockPreset,
    Answer,
    Drop,
    Revert,
    Resend,
    CopyMenu,
    CopyMessage,
    CopyBody,
    CopyValue,
    CopyPath,
    CopyId,
    CopyRow,
    CopyAs(ExportForm),
    WriteMenu,
    Write(ExportForm),
    Page,
    StopPipe,
    Suspend,
    Repaint,
    Mark,
    OnlyMarked,
    Unmark,
    UndoLast,
    Compare,
    Sort,
    Compose,
    Fork,
    Rewind,
    Why,
    Timeline,
    Sequence,
    Rule,
    SwitchRule,
    RuleUp,
    RuleDown,
    NewRule,
    RemoveRule,
    RemoveRuleNow,
    SaveRules,
    Reverse,
    Theme,
    GoToFault,
    ToggleMenu,
    Mouse,
    OpenStrings,
    Pictures,
    Source,
    ReadLine,
    CopyLine,
    FoldMenu,
    FoldToggle,
    FoldOpen,
    FoldClose,
    UnfoldAll,
    FoldAll,
    Play,
    StopPlay,
    Pace,
    StepReplay,
    NextFail,
    ReadStep,
    AcceptReply,
    IgnorePaths,
    AskDelete,
    Serve,
    CopyAddress,
    PlayOptions,
    ExportMenu,
    Export(TapeForm),
    DeleteTape,
    Level,
    Group,
    Order,
    Widen,
    Narrow,
    Send,
    SendRaw,
    CancelCall,
    Outside,
    Format,
    Undo,
    Redo,
    Original,
    ToggleDiff,
    Accept,
    Cancel,
    Older,
    Newer,
    Complete,
    CompleteBack,
    NextField,
    PreviousField,
    QuitForward,
    QuitFail,
    HoldOffForward,
    HoldOffKeep,
    Pause,
    Restart,
}

/// What leaves the screen, and in which form.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum ExportForm {
    Message,
    Body,
    Value,
    Curl,
    Markdown,
    /// All that is listed, as an HTTP Archive.
    Archive,
    /// Lines of the list: where it is copied the selected one, where it is written all.
    Lines,
}

/// One key of one context.
pub(crate) struct KeyBinding {
    pub(crate) on: KeyContext,
    pub(crate) keys: &'static [&'static str],
    pub(crate) action: Action,
    /// For the key line; empty: not shown there.
    pub(crate) hint: &'static str,
    pub(crate) help: &'static str,
    /// Where it does nothing it is neither shown nor taken.
    pub(crate) when: fn(&Model) -> bool,
    /// What the hint is instead, where it is another.
    other_hint: fn(&Model) -> Option<&'static str>,
}

pub(super) const fn key(
    on: KeyContext,
    keys: &'static [&'static str],
    action: Action,
    hint: &'static str,
    help: &'static str,
) -> KeyBinding {
    KeyBinding { on, keys, action, hint, help, when: |_| true, other_hint: |_| None }
}

impl KeyBinding {
    pub(super) const fn when(self, when: fn(&Model) -> bool) -> Self {
        Self { when, ..self }
    }

    pub(super) const fn or_hint(self, other_hint: fn(&Model) -> Option<&'static str>) -> Self {
        Self { other_hint, ..self }
    }

    /// What it does now, for the key line.
    pub(super) fn hint(&self, model: &Model) -> &'static str {
        (self.other_hint)(model).unwrap_or(self.hint)
    }
}
