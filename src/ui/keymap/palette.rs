//! Commands by name: what `:` offers. Read from the table of keys, so that nothing can be done that no key does.

use super::binding::{Action, ExportForm, KeyBinding};
use super::context::KeyContext;
use super::lookup::{bindings, contexts_of_screen, first_key};
use crate::event::TapeForm;
use crate::ui::model::Model;
use crate::ui::model::ScreenKind;
use crate::ui::model::motion::Motion;
use crate::ui::model::prompt::PromptKind;

/// A command of the palette.
pub(crate) struct PaletteRow {
    pub(crate) name: &'static str,
    /// The keys that do it, with the one before them where there is one.
    pub(crate) keys: String,
    pub(crate) help: &'static str,
    pub(crate) action: Action,
    /// Where the cursor is, it does something.
    pub(crate) works: bool,
}

/// Names that other programs have for a command, and what it is called here.
const ALIASES: [(&str, &str); 10] = [
    ("q", "quit"),
    ("q!", "quit"),
    ("qa", "quit"),
    ("wq", "quit"),
    ("x", "quit"),
    ("exit", "quit"),
    ("h", "help"),
    ("set", "help"),
    ("nohl", "search-end"),
    ("noh", "search-end"),
];

/// Where the keys of commands are.
const OFFERED: [KeyContext; 21] = [
    KeyContext::Held,
    KeyContext::Search,
    KeyContext::Piping,
    KeyContext::List,
    KeyContext::Detail,
    KeyContext::Queue,
    KeyContext::Sessions,
    KeyContext::Tapes,
    KeyContext::Steps,
    KeyContext::Compare,
    KeyContext::Metrics,
    KeyContext::Events,
    KeyContext::Rules,
    KeyContext::Everywhere,
    KeyContext::Go,
    KeyContext::Copy,
    KeyContext::Fold,
    KeyContext::Toggle,
    KeyContext::Write,
    KeyContext::Export,
    KeyContext::Move,
];

/// The commands that what is typed may mean, the likeliest first; those that do nothing here stand last.
pub(crate) fn palette(model: &Model, typed: &str) -> Vec<PaletteRow> {
    let typed = typed.trim().to_lowercase();
    let mut rows: Vec<(usize, PaletteRow)> = Vec::new();
    for context in OFFERED {
        for (binding, keys) in bindings(&model.settings.keys, context) {
            let row = row(model, binding, keys);
            let Some(rank) = rank(&row, &typed) else { continue };
            match rows.iter_mut().find(|(_, known)| known.action == row.action) {
                Some((_, known)) if row.works && !known.works => *known = row,
                Some(_) => {}
                None => rows.push((rank, row)),
            }
        }
    }
    rows.sort_by_key(|(rank, row)| (!row.works && *rank > 0, *rank));
    rows.into_iter().map(|(_, row)| row).collect()
}

/// The command that is meant: by its whole name, or else the one chosen from the list.
pub(crate) fn command(model: &Model, typed: &str, choice: usize) -> Option<PaletteRow> {
    let mut rows = palette(model, typed);
    let at = choice.min(rows.len().checked_sub(1)?);
    Some(rows.swap_remove(at))
}

fn row(model: &Model, binding: &KeyBinding, keys: &[&str]) -> PaletteRow {
    let own = &model.settings.keys;
    let opens = match binding.on {
        KeyContext::Go => Some(Action::Go),
        KeyContext::Copy => Some(Action::CopyMenu),
        KeyContext::Fold => Some(Action::FoldMenu),
        KeyContext::Toggle => Some(Action::ToggleMenu),
        KeyContext::Write => Some(Action::WriteMenu),
        KeyContext::Export => Some(Action::ExportMenu),
        _ => None,
    };
    let here = contexts_of_screen(model);
    let reached = match opens {
        None => here.contains(&binding.on),
        Some(opens) => {
            let mut here = here.iter().flat_map(|context| bindings(own, *context));
            here.any(|(it, _)| it.action == opens && (it.when)(model))
        }
    };
    // With what is pressed before it.
    let before = opens.and_then(|opens| first_key(own, opens));
    let shown: Vec<&str> = before.into_iter().chain(keys.first().copied()).collect();
    PaletteRow {
        name: binding.action.name(),
        keys: shown.join(" "),
        help: binding.help,
        action: binding.action,
        works: reached && (binding.when)(model),
    }
}

/// How well a command answers to what is typed, from 0; `None`: not at all.
fn rank(row: &PaletteRow, typed: &str) -> Option<usize> {
    let alias = ALIASES.iter().find(|(alias, _)| *alias == typed).map(|(_, name)| *name);
    let name = row.name;
    match () {
        () if name == "cancel" => None,
        () if name == typed || alias == Some(name) => Some(0),
        () if name.starts_with(typed) => Some(1),
        () if row.keys == typed => Some(2),
        () if name.contains(typed) => Some(3),
        () if row.help.contains(typed) => Some(4),
        () if is_within(typed, name) => Some(5),
        () => None,
    }
}

/// Whether all characters of `typed` stand in `name`, in their order.
fn is_within(typed: &str, name: &str) -> bool {
    let mut rest = name.chars();
    typed.chars().all(|c| rest.any(|other| other == c))
}

impl Action {
    /// What it is called after `:`.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Move(motion) => motion_name(motion),
            Self::Screen(screen) => screen_name(screen),
            Self::Type(asked) => match asked {
                PromptKind::Filter => "filter",
                PromptKind::Hold => "hold",
                PromptKind::Search => "search",
                PromptKind::Command => "command",
                PromptKind::Value => "value",
                PromptKind::Pipe => "pipe",
                PromptKind::Comment => "comment",
                PromptKind::TapeName => "tape-rename",
                PromptKind::TapeNote => "tape-note",
            },
            Self::Left => "side-previous",
            Self::Right => "side-next",
            Self::NextPane => "pane-next",
            Self::PreviousPane => "pane-previous",
            Self::Zoom => "zoom",
            Self::Open => "open",
            Self::Back => "back",
            Self::Quit => "quit",
            Self::Interrupt => "interrupt",
            Self::Help => "help",
            Self::Go => "go",
            Self::ToggleFilter => "filter-toggle",
            Self::Follow => "follow",
            Self::Pair => "pair",
            Self::Pairs => "pairs",
            Self::NextError => "next-error",
            Self::NextHeld => "next-held",
            _ => self.name_of_a_decision(),
        }
    }

    fn name_of_a_decision(self) -> &'static str {
        match self {
            Self::SearchNext => "search-next",
            Self::SearchPrevious => "search-previous",
            Self::EndSearch => "search-end",
            Self::PickSession => "session",
            Self::Hold => "hold-toggle",
            Self::Forward => "forward",
            Self::ForwardAll => "forward-all",
            Self::Step => "step",
            Self::HoldReply => "hold-reply",
            Self::KeepPatient => "keep-patient",
            Self::Edit => "edit",
            Self::EditValue => "change",
            Self::Block => "block",
            Self::Answer => "answer",
            Self::BlockPreset => "block-now",
            Self::Drop => "drop",
            Self::Revert => "original",
            Self::Resend => "resend",
            _ => self.rest_of_names(),
        }
    }

    fn rest_of_names(self) -> &'static str {
        match self {
            Self::CopyMenu => "copy",
            Self::CopyMessage => "copy-message",
            Self::CopyBody => "copy-body",
            Self::CopyValue => "copy-value",
            Self::CopyPath => "copy-path",
            Self::CopyId => "copy-id",
            Self::CopyRow => "copy-row",
            _ => self.name_on_a_screen(),
        }
    }

    fn name_on_a_screen(self) -> &'static str {
        match self {
            Self::FoldMenu => "fold",
            Self::FoldToggle => "fold-toggle",
            Self::FoldOpen => "fold-open",
            Self::FoldClose => "fold-close",
            Self::UnfoldAll => "fold-open-all",
            Self::FoldAll => "fold-close-all",
            Self::Level => "level",
            Self::Group => "group",
            Self::Order => "sort",
            Self::Widen => "wider",
            Self::Narrow => "narrower",
            Self::Pause => "pause",
            Self::Restart => "restart",
            Self::CopyAs(form) => match form {
                ExportForm::Curl => "copy-curl",
                ExportForm::Markdown => "copy-markdown",
                _ => "copy-json-line",
            },
            Self::WriteMenu => "write",
            Self::Write(form) => match form {
                ExportForm::Message => "write-message",
                ExportForm::Body => "write-body",
                ExportForm::Value => "write-value",
                ExportForm::Curl => "write-curl",
                ExportForm::Markdown => "write-markdown",
                ExportForm::Archive => "write-har",
                ExportForm::Lines => "write-json-lines",
            },
            Self::Page => "pager",
            Self::Suspend => "suspend",
            Self::StopPipe => "pipe-stop",
            _ => self.name_of_tapes(),
        }
    }

    fn name_of_tapes(self) -> &'static str {
        match self {
            Self::Play => "play",
            Self::StopPlay => "stop",
            Self::Pace => "pace",
            Self::StepReplay => "send-next",
            Self::NextFail => "next-fail",
            Self::ReadStep => "read-step",
            Self::AcceptReply => "accept-reply",
            Self::IgnorePaths => "ignore-paths",
            Self::AskDelete => "tape-delete",
            Self::Serve => "serve",
            Self::CopyAddress => "copy-address",
            Self::PlayOptions => "play-options",
            Self::ExportMenu => "export",
            Self::Export(form) => export_name(form),
            _ => self.name_of_a_view(),
        }
    }

    fn name_of_a_view(self) -> &'static str {
        match self {
            Self::Repaint => "repaint",
            Self::Mark => "mark",
            Self::OnlyMarked => "marked",
            Self::Unmark => "unmark",
            Self::UndoLast => "undo-last",
            Self::Compare => "compare",
            Self::Sort => "order",
            Self::Compose => "call",
            Self::Fork => "branch",
            Self::Rewind => "rewind",
            Self::Why => "why",
            Self::Timeline => "timeline",
            Self::Sequence => "diagram",
            Self::Rule => "rule",
            Self::SwitchRule => "rule-toggle",
            Self::RuleUp => "rule-up",
            Self::RuleDown => "rule-down",
            Self::NewRule => "rule-new",
            Self::RemoveRule => "rule-delete",
            Self::SaveRules => "rules-save",
            Self::Reverse => "reverse",
            Self::Theme => "theme",
            Self::ToggleMenu => "toggle",
            Self::Mouse => "mouse",
            Self::OpenStrings => "json-in-strings",
            Self::Pictures => "pictures",
            Self::Pick => "pick",
            Self::Source => "source",
            Self::ReadLine => "read-line",
            Self::CopyLine => "copy-line",
            // Keys of a line, a form or a question: no commands.
            _ => "cancel",
        }
    }
}

fn export_name(form: TapeForm) -> &'static str {
    match form {
        TapeForm::Har => "export-har",
        TapeForm::Curl => "export-curl",
        TapeForm::Jsonl => "export-json-lines",
        TapeForm::Markdown => "export-markdown",
        TapeForm::Html => "export-html",
        TapeForm::Pytest => "export-pytest",
        TapeForm::Vitest => "export-vitest",
        TapeForm::Rust => "export-rust",
    }
}

fn motion_name(motion: Motion) -> &'static str {
    match motion {
        Motion::Down => "down",
        Motion::Up => "up",
        Motion::PageDown => "page-down",
        Motion::PageUp => "page-up",
        Motion::HalfDown => "half-down",
        Motion::HalfUp => "half-up",
        Motion::Top => "top",
        Motion::End => "end",
    }
}

fn screen_name(screen: ScreenKind) -> &'static str {
    match screen {
        ScreenKind::Messages => "messages",
        ScreenKind::Queue => "queue",
        ScreenKind::Tapes => "tapes",
        ScreenKind::Metrics => "metrics",
        ScreenKind::Events => "events",
        ScreenKind::Compare => "compared",
        ScreenKind::Lint => "lint",
        ScreenKind::Rules => "rules",
    }
}
