//! The one table of keys: dispatch, key line and help are all read from it.

use super::binding::{Action, ExportForm, KeyBinding, key};
use super::context::KeyContext;
use crate::event::TapeForm;
use crate::ui::model::motion::Motion;
use crate::ui::model::own_call::OwnCall;
use crate::ui::model::prompt::PromptKind;
use crate::ui::model::{Model, Pane, ScreenKind};

use Action as A;
use KeyContext as C;

pub(crate) static BINDINGS: &[KeyBinding] = &[
    // The message list.
    key(C::List, &["enter"], A::Open, "open", "open the message").when(|m| m.pane == Pane::List && m.has_rows()),
    key(C::List, &["e"], A::Edit, "edit", "edit the request and send it again").when(Model::can_resend),
    key(C::List, &["c"], A::EditValue, "", "change one value of the request, and send it again")
        .when(Model::can_resend),
    key(C::List, &["r"], A::Resend, "resend", "send the request again as it is").when(Model::can_resend),
    key(C::List, &["y"], A::CopyMenu, "copy", "copy something of the message, or a line of curl while there is none")
        .when(|m| m.has_rows() || m.first_curl().is_some()),
    key(C::List, &["p"], A::Pair, "pair", "jump between request and reply").when(Model::has_pair),
    key(C::List, &["P"], A::Pairs, "", "one row for each exchange, or for each message"),
    key(C::List, &["f"], A::Type(PromptKind::Filter), "filter", "limit the list, as you type"),
    key(C::List, &["T"], A::ToggleFilter, "filter off/on", "filter off or on").when(|m| m.list().filter.is_some()),
    key(C::List, &["i"], A::Type(PromptKind::Hold), "hold", "say which messages are held").when(|m| m.tape.is_none()),
    key(C::List, &["I"], A::Hold, "", "hold on or off").when(|m| m.tape.is_none()),
    key(C::List, &["R"], A::Rule, "rule", "make a rule of the message, and of what was done to it")
        .when(Model::has_rows),
    key(C::List, &["C"], A::Compose, "call", "call a tool, prompt or resource of the server's")
        .when(|m| m.tape.is_none()),
    key(
        C::List,
        &["B"],
        A::Fork,
        "branch",
        "branch off here: a fresh server is told all up to this message, then it is yours",
    )
    .when(Model::has_rows),
    key(
        C::List,
        &["<"],
        A::Rewind,
        "rewind",
        "rewind the session to here: a fresh process is told all up to here, its client stays",
    )
    .when(Model::has_rows),
    key(C::List, &["F"], A::Follow, "follow", "follow new messages or stay").when(|m| m.tape.is_none() && m.has_rows()),
    key(C::List, &["s"], A::PickSession, "session", "narrow to one session").when(|m| m.tape.is_none()),
    key(C::List, &["w", "x"], A::WriteMenu, "", "write something of the message to a file").when(Model::has_rows),
    key(C::List, &["v"], A::Page, "", "read the message in $PAGER").when(Model::has_rows),
    key(C::List, &["|"], A::Type(PromptKind::Pipe), "", "hand the message to a command, and read what that says")
        .when(Model::has_rows),
    key(C::List, &["m"], A::Mark, "", "mark the message, or take its mark away").when(Model::has_rows),
    key(C::List, &["M"], A::OnlyMarked, "", "only what is marked, or all again").when(|m| m.pane == Pane::List),
    key(C::List, &["U"], A::Unmark, "", "take all marks away").when(Model::has_rows),
    key(C::List, &["u"], A::UndoLast, "", "undo the last draft, mark, comment or change of the hold")
        .when(Model::can_undo),
    key(C::List, &[";"], A::Type(PromptKind::Comment), "", "write a comment beside the message").when(Model::has_rows),
    key(C::List, &["d"], A::Compare, "", "compare with another message: the same key there").when(Model::has_rows),
    key(C::List, &["o"], A::Sort, "", "sort by time, duration, size or name").when(Model::has_rows),
    key(C::List, &["O"], A::Reverse, "", "the order turned around").when(Model::has_rows),
    key(C::List, &["q", "esc"], A::Back, "close tape", "close the tape")
        .when(|m| m.tape.is_some() && m.pane == Pane::List),
    // A held message in the list.
    key(C::Held, &["a"], A::Forward, "forward", "send it on, as is or with the draft"),
    key(C::Held, &["e"], A::Edit, "edit", "edit it before it goes on"),
    key(C::Held, &["c"], A::EditValue, "change", "change one value: the tree's, else the first argument"),
    key(C::Held, &["A"], A::ForwardAll, "all", "send on all that is held"),
    key(C::Held, &["b"], A::Block, "block", "answer it with an error instead"),
    key(C::Held, &["B"], A::Answer, "", "answer it with a result of your own").when(Model::holds_request),
    key(C::Held, &["X"], A::BlockPreset, "", "block it with the usual error, unasked"),
    key(C::Held, &["V"], A::Revert, "original", "discard the draft").when(Model::has_draft),
    // Sessions beside the list.
    key(C::Sessions, &["enter"], A::Open, "narrow", "show only this session"),
    key(C::Sessions, &["p"], A::Pause, "pause", "have all its messages wait, or go on")
        .when(Model::can_pause)
        .or_hint(|m| m.is_paused().then_some("resume")),
    key(C::Sessions, &["R"], A::Restart, "restart", "restart the session's server; its client stays")
        .when(Model::can_restart),
    key(C::Sessions, &["q", "esc"], A::Back, "back", "back to the messages"),
    // The detail.
    key(C::Detail, &["enter"], A::FoldToggle, "fold", "fold or open").when(|m| m.detail.fold().is_some()),
    key(C::Detail, &["enter"], A::Open, "read", "read the long string").when(|m| m.detail.long_string().is_some()),
    key(C::Detail, &["enter", "c"], A::EditValue, "change", "change the value under the cursor")
        .when(Model::can_edit_value),
    key(C::Detail, &["l", "right"], A::Right, "next side", "next side: tree, content, text, raw, pair, diff, facts"),
    key(C::Detail, &["h", "left"], A::Left, "", "previous side"),
    // Also where nothing is folded: else the key after it would be a command of its own.
    key(C::Detail, &["z"], A::FoldMenu, "folds", "fold").or_hint(|m| (!m.detail.has_folds()).then_some("")),
    key(C::Detail, &["y"], A::CopyMenu, "copy", "copy something of the message").when(Model::has_rows),
    key(C::Detail, &["w", "x"], A::WriteMenu, "", "write something of the message to a file").when(Model::has_rows),
    key(C::Detail, &["v"], A::Page, "", "read the message in $PAGER").when(Model::has_rows),
    key(C::Detail, &["|"], A::Type(PromptKind::Pipe), "", "hand the message to a command, and read what that says")
        .when(Model::has_rows),
    key(C::Detail, &["q", "esc"], A::Back, "back", "back to the list"),
    // The hold queue.
    key(C::Queue, &["a"], A::Forward, "forward", "send it on, as is or with the draft").when(Model::holds),
    key(C::Queue, &["A"], A::ForwardAll, "all", "send on all that is held").when(Model::holds),
    key(C::Queue, &["s"], A::Step, "step", "send it on and hold the very next message of its session")
        .when(Model::holds),
    key(C::Queue, &["e"], A::Edit, "edit", "edit it before it goes on").when(Model::holds),
    key(C::Queue, &["c"], A::EditValue, "change", "change one value: the tree's, else the first argument")
        .when(Model::holds),
    key(C::Queue, &["b"], A::Block, "block", "answer it with an error instead").when(Model::holds),
    key(C::Queue, &["B"], A::Answer, "answer", "answer it with a result of your own").when(Model::holds_request),
    key(C::Queue, &["d"], A::Drop, "drop", "send nothing on and answer nothing: its sender waits for its timeout")
        .when(Model::holds),
    key(C::Queue, &["o"], A::HoldReply, "hold reply", "send it on and hold its reply").when(Model::holds_request),
    key(C::Queue, &["K"], A::KeepPatient, "", "tell its client progress while it is held, for one that waits on then")
        .when(Model::holds_request),
    key(C::Queue, &["V"], A::Revert, "original", "discard the draft").when(Model::has_draft),
    key(C::Queue, &["X"], A::BlockPreset, "", "block it with the usual error, unasked").when(Model::holds),
    key(C::Queue, &["enter"], A::Open, "open", "look at the message").when(|m| m.pane != Pane::Detail && m.holds()),
    key(C::Queue, &["y"], A::CopyMenu, "", "copy something of the message").when(Model::holds),
    key(C::Queue, &["R"], A::Rule, "rule", "make a rule of the message, or of what was done to the last one")
        .when(|m| m.subject_of_rule().is_some()),
    key(C::Queue, &["w", "x"], A::WriteMenu, "", "write something of the message to a file").when(Model::holds),
    key(C::Queue, &["v"], A::Page, "", "read the message in $PAGER").when(Model::holds),
    key(C::Queue, &["|"], A::Type(PromptKind::Pipe), "", "hand the message to a command, and read what that says")
        .when(Model::holds),
    key(C::Queue, &["i"], A::Type(PromptKind::Hold), "hold filter", "say which messages are held"),
    key(C::Queue, &["I"], A::Hold, "hold on/off", "hold on or off"),
    key(C::Queue, &["u"], A::UndoLast, "", "undo the last draft or change of the hold; what has left says why not")
        .when(Model::can_undo),
    key(C::Queue, &["q", "esc"], A::Back, "back", "back to the messages").when(|m| m.pane != Pane::Detail),
    // Tapes.
    key(C::Tapes, &["enter"], A::Open, "open", "open the tape's messages").when(|m| m.tapes.selected().is_some()),
    key(C::Tapes, &["space", "r"], A::Play, "play", "play it against the running upstream")
        .when(|m| m.tapes.selected().is_some() && !m.tapes.running()),
    key(C::Tapes, &["space"], A::StopPlay, "stop", "stop the replay").when(|m| m.tapes.running()),
    key(
        C::Tapes,
        &["s"],
        A::StepReplay,
        "step",
        "play it step by step; of a replay that waits, send the next message now",
    )
    .when(Model::can_step),
    key(C::Tapes, &["S"], A::Serve, "serve", "have the tape answer clients, as `tapline mock` does, or no more")
        .when(|m| m.tapes.selected().is_some())
        .or_hint(|m| m.is_served().then_some("serve no more")),
    key(C::Tapes, &["y"], A::CopyAddress, "copy address", "copy the address at which the tape answers clients")
        .when(Model::is_served),
    key(
        C::Tapes,
        &["e"],
        A::PlayOptions,
        "options",
        "how tapes are played and served: what counts, what ends a replay",
    )
    .when(|m| m.tapes.selected().is_some()),
    key(C::Tapes, &["x", "w"], A::ExportMenu, "export", "write the tape in another form to a file")
        .when(Model::can_export),
    key(C::Tapes, &["m"], A::Pace, "pace", "pace of the next replay: flat out, as recorded, x2, x10, step by step"),
    key(C::Tapes, &["n"], A::NextFail, "next fail", "next step that failed").when(Model::has_fails),
    key(C::Tapes, &["v"], A::ReadStep, "read", "read all that differs in the step").when(Model::step_differs),
    key(C::Tapes, &["R"], A::Type(PromptKind::TapeName), "rename", "give the tape another name")
        .when(|m| m.tapes.selected().is_some()),
    key(C::Tapes, &[";"], A::Type(PromptKind::TapeNote), "note", "write a note onto the tape")
        .when(|m| m.tapes.selected().is_some()),
    key(C::Tapes, &["d"], A::AskDelete, "delete", "delete the tape, after a question")
        .when(|m| m.tapes.selected().is_some()),
    key(C::Tapes, &["o"], A::Sort, "sort", "sort by time or another column").when(|m| m.tapes.selected().is_some()),
    key(C::Tapes, &["O"], A::Reverse, "", "the order turned around").when(|m| m.tapes.selected().is_some()),
    key(C::Tapes, &["q", "esc"], A::Back, "back", "back to the messages"),
    key(C::Tapes, &["W"], A::Compare, "compare", "compare with another tape: the same key there")
        .when(|m| m.tapes.selected().is_some()),
    key(C::Steps, &["enter"], A::Open, "open tape", "open the tape at this step").when(|m| m.step().is_some()),
    key(
        C::Steps,
        &["u"],
        A::AcceptReply,
        "accept",
        "accept what the server answered in the step: the tape expects it from now on",
    )
    .when(Model::can_accept),
    key(
        C::Steps,
        &["i"],
        A::IgnorePaths,
        "ignore",
        "ignore what differs in the step when this tape is played, or no longer",
    )
    .when(Model::can_ignore),
    key(C::Steps, &["q", "esc"], A::Back, "back", "back to the tapes"),
    // Two tapes side by side.
    key(C::Compare, &["enter"], A::Open, "open", "both values, or the second tape at this call")
        .when(Model::can_open_compared),
    key(C::Compare, &["p"], A::Pair, "first tape", "the first tape at this call").when(Model::has_first_tape),
    key(C::Compare, &["O"], A::Reverse, "turn around", "the second tape first").when(|m| m.compare.shown.is_some()),
    key(C::Compare, &["q", "esc"], A::Back, "back", "back to the tapes; what still runs is stopped"),
    // Metrics.
    key(C::Metrics, &["enter"], A::Open, "show messages", "show the messages of this name or session")
        .when(|m| m.metrics.selected().is_some()),
    key(C::Metrics, &["o"], A::Group, "group", "by name, by method, by session"),
    key(C::Metrics, &["s"], A::Order, "sort", "most calls, slowest or most errors first"),
    key(C::Metrics, &["]"], A::Widen, "wider", "more time in each bucket: 1, 5, 30 seconds"),
    key(C::Metrics, &["["], A::Narrow, "", "less time in each bucket"),
    key(C::Metrics, &["q", "esc"], A::Back, "back", "back to the messages"),
    // Events.
    key(C::Events, &["enter"], A::Open, "jump", "jump to the message").when(Model::event_has_message),
    key(C::Events, &["enter"], A::ReadLine, "read", "read the whole line").when(|m| m.event_line().is_some()),
    key(C::Events, &["v"], A::ReadLine, "", "read the whole line").when(|m| m.event_line().is_some()),
    key(C::Events, &["y"], A::CopyLine, "copy", "copy the line").when(|m| m.event_line().is_some()),
    key(C::Events, &["s"], A::Source, "source", "only lines of the next source, or of all"),
    key(C::Events, &["o"], A::Level, "level", "debug, info, warn, error and above"),
    key(C::Events, &["F"], A::Follow, "follow", "follow new lines or stay"),
    key(C::Events, &["q", "esc"], A::Back, "back", "back to the messages"),
    // Lint.
    key(C::Lint, &["enter"], A::Open, "messages", "the messages in which it was found").when(Model::is_on_finding),
    key(C::Lint, &["q", "esc"], A::Back, "back", "back to the messages"),
    // Rules.
    key(C::Rules, &["space"], A::SwitchRule, "on/off", "switch the rule off, or on again")
        .when(|m| m.selected_rule().is_some()),
    key(C::Rules, &["e"], A::Edit, "edit", "change the rule, as TOML").when(|m| m.selected_rule().is_some()),
    key(C::Rules, &["n"], A::NewRule, "new", "write a new rule, as TOML"),
    key(C::Rules, &["K"], A::RuleUp, "up/down", "ask it before the rule above it")
        .when(|m| m.selected_rule().is_some()),
    key(C::Rules, &["J"], A::RuleDown, "", "ask it after the rule below it").when(|m| m.selected_rule().is_some()),
    key(C::Rules, &["D"], A::RemoveRule, "delete", "take the rule away").when(|m| m.selected_rule().is_some()),
    key(C::Rules, &["u"], A::UndoLast, "", "undo the last rule taken away or switched").when(Model::can_undo),
    key(
        C::Rules,
        &["s"],
        A::SaveRules,
        "save",
        "write what is unsaved to its files, comments and all; `:rules save FILE`",
    ),
    key(C::Rules, &["V"], A::Revert, "", "take what stands in the files; what is unsaved is gone"),
    key(C::Rules, &["enter"], A::Open, "its messages", "the messages that it touched")
        .when(|m| m.selected_rule().is_some()),
    key(C::Rules, &["q", "esc"], A::Back, "back", "back to the messages"),
    key(C::RuleEditor, &["ctrl s"], A::Send, "in force", "put what is written in force from the next message on"),
    key(C::RuleEditor, &["esc"], A::Back, "back (kept)", "back; what is written is kept and not in force"),
    key(C::RuleEditor, &["ctrl g"], A::GoToFault, "to the fault", "go to the next thing that is wrong")
        .when(Model::rule_has_fault),
    key(C::RuleEditor, &["ctrl z"], A::Undo, "undo", "undo"),
    key(C::RuleEditor, &["ctrl y"], A::Redo, "", "redo"),
    // The editor.
    key(
        C::Editor,
        &["ctrl s"],
        A::Send,
        "send",
        "send what is written, where it is JSON; as a new request where it is not held any more",
    )
    .when(Model::can_send_edit),
    key(C::Editor, &["ctrl k"], A::CancelCall, "cancel the call", "give up the call that waits: its server is told")
        .when(|m| m.own_call().is_some_and(OwnCall::waits)),
    key(C::Editor, &["esc"], A::Back, "back (kept)", "back; what is written is kept"),
    // `ctrl e` and `ctrl f` are motion there, as wherever text is typed.
    key(C::Editor, &["f4"], A::Outside, "$EDITOR", "edit in $EDITOR"),
    key(C::Editor, &["ctrl t"], A::Format, "format", "indent again"),
    key(C::Editor, &["ctrl z"], A::Undo, "undo", "undo"),
    key(C::Editor, &["ctrl y"], A::Redo, "", "redo"),
    key(C::Editor, &["ctrl g"], A::GoToFault, "to the fault", "go to what is no JSON").when(Model::editor_has_fault),
    // `/`, `n` and `N` are text there.
    key(C::Editor, &["f3"], A::Type(PromptKind::Search), "search", "search the text; `\\r` for an expression"),
    key(C::Editor, &["alt n"], A::SearchNext, "", "next match").when(|m| m.search.is_some()),
    key(C::Editor, &["alt p"], A::SearchPrevious, "", "match before").when(|m| m.search.is_some()),
    key(C::Editor, &["ctrl o"], A::Original, "original", "the text as it came"),
    key(
        C::Editor,
        &["tab"],
        A::ToggleDiff,
        "diff",
        "text or difference, or the reply to a call of yours, where not all fit",
    )
    .when(Model::editor_is_narrow),
    key(C::Editor, &["pgdn"], A::Move(Motion::PageDown), "scroll reply", "a page down in the reply")
        .when(Model::reply_is_long),
    key(C::Editor, &["pgup"], A::Move(Motion::PageUp), "", "a page up in the reply").when(Model::reply_is_long),
    key(C::Editor, &["ctrl x"], A::SendRaw, "send raw", "send it even if it does not parse").when(|m| !m.editor_gone()),
    // The prompt.
    key(C::Prompt(PromptKind::Filter), &["enter"], A::Accept, "keep", "keep the filter"),
    key(C::Prompt(PromptKind::Filter), &["esc"], A::Cancel, "as before", "the filter as it was"),
    key(
        C::Prompt(PromptKind::Filter),
        &["tab"],
        A::Complete,
        "complete",
        "complete the word: operators, and what was seen here",
    ),
    key(C::Prompt(PromptKind::Filter), &["shift tab"], A::CompleteBack, "", "the completion before"),
    key(C::Prompt(PromptKind::Filter), &["up"], A::Older, "earlier ones", "earlier filters"),
    key(C::Prompt(PromptKind::Filter), &["down"], A::Newer, "", "later filters"),
    key(
        C::Prompt(PromptKind::Hold),
        &["enter"],
        A::Accept,
        "hold these",
        "hold what matches; an empty line turns hold off",
    ),
    key(
        C::Prompt(PromptKind::Hold),
        &["tab"],
        A::Complete,
        "complete",
        "complete the word: operators, and what was seen here",
    ),
    key(C::Prompt(PromptKind::Hold), &["shift tab"], A::CompleteBack, "", "the completion before"),
    key(C::Prompt(PromptKind::Hold), &["up"], A::Older, "earlier ones", "earlier filters"),
    key(C::Prompt(PromptKind::Hold), &["down"], A::Newer, "", "later filters"),
    key(C::Prompt(PromptKind::Hold), &["esc"], A::Cancel, "as before", "leave it as it was"),
    key(C::Prompt(PromptKind::Command), &["enter"], A::Accept, "do it", "do it, or jump to the message of that number"),
    key(C::Prompt(PromptKind::Command), &["down", "tab"], A::Newer, "next", "the next command of the list"),
    key(C::Prompt(PromptKind::Command), &["up", "shift tab"], A::Older, "", "the one before"),
    key(C::Prompt(PromptKind::Command), &["esc"], A::Cancel, "cancel", "stay"),
    key(C::Prompt(PromptKind::Search), &["enter"], A::Accept, "first match", "go to the first match from here on"),
    key(C::Prompt(PromptKind::Search), &["esc"], A::Cancel, "as before", "what was searched for before"),
    key(C::Prompt(PromptKind::Comment), &["enter"], A::Accept, "keep", "keep the comment"),
    key(C::Prompt(PromptKind::Comment), &["esc"], A::Cancel, "as before", "leave it as it was"),
    key(C::Prompt(PromptKind::Pipe), &["enter"], A::Accept, "run it", "run the command with the message as its input"),
    key(C::Prompt(PromptKind::Pipe), &["esc"], A::Cancel, "cancel", "run nothing"),
    key(C::Prompt(PromptKind::Value), &["ctrl s"], A::Send, "send", "send the message with this value"),
    key(C::Prompt(PromptKind::Value), &["enter"], A::Accept, "keep", "keep it in the draft of the message"),
    key(C::Prompt(PromptKind::Value), &["tab", "down"], A::NextField, "next value", "keep it; then the next value"),
    key(C::Prompt(PromptKind::Value), &["shift tab", "up"], A::PreviousField, "", "keep it; then the value before"),
    key(C::Prompt(PromptKind::Value), &["ctrl t"], A::TurnValue, "any JSON", "type any JSON, or again text"),
    key(
        C::Prompt(PromptKind::Value),
        &["ctrl n"],
        A::Pick,
        "pick",
        "the next of the values that the tool's schema names",
    )
    .when(Model::has_picks),
    key(C::Prompt(PromptKind::Value), &["ctrl o"], A::WholeText, "whole text", "keep it, and edit the whole message"),
    key(C::Prompt(PromptKind::Value), &["esc"], A::Cancel, "as before", "leave the value as it was"),
    key(C::Prompt(PromptKind::TapeName), &["enter"], A::Accept, "rename", "give it this name"),
    key(C::Prompt(PromptKind::TapeName), &["esc"], A::Cancel, "as before", "leave it as it was"),
    key(C::Prompt(PromptKind::TapeNote), &["enter"], A::Accept, "write it", "write it onto the tape"),
    key(C::Prompt(PromptKind::TapeNote), &["esc"], A::Cancel, "cancel", "write nothing"),
    // After `g`.
    key(C::Go, &["g"], A::Move(Motion::Top), "top", "first"),
    key(C::Go, &["G"], A::Move(Motion::End), "end", "last"),
    key(C::Go, &["e"], A::NextError, "next error", "next error").when(|m| m.screen == ScreenKind::Messages),
    key(C::Go, &["h"], A::NextHeld, "next held", "next held message").when(|m| !m.observed.held.is_empty()),
    key(C::Go, &["p"], A::Pair, "pair", "jump between request and reply").when(Model::has_pair),
    key(C::Go, &["s"], A::PickSession, "session", "narrow to one session")
        .when(|m| m.screen == ScreenKind::Messages && m.tape.is_none()),
    key(C::Go, &["w"], A::Why, "why it hangs", "what is known of a call without a reply").when(Model::has_rows),
    key(C::Go, &["t"], A::Timeline, "timeline", "the calls of this session, each as a bar over its time")
        .when(Model::has_rows),
    key(C::Go, &["d"], A::Sequence, "diagram", "this session as a sequence diagram: who sent what to the other")
        .when(Model::has_rows),
    key(C::Go, &[":"], A::Type(PromptKind::Command), "line number", "jump to a message by number"),
    key(C::Go, &["esc"], A::Cancel, "", "nothing"),
    // After `z`.
    key(C::Fold, &["a"], A::FoldToggle, "toggle", "fold or open"),
    key(C::Fold, &["o"], A::FoldOpen, "open", "open"),
    key(C::Fold, &["c"], A::FoldClose, "close", "fold"),
    key(C::Fold, &["R"], A::UnfoldAll, "open all", "open everything"),
    key(C::Fold, &["M"], A::FoldAll, "close all", "fold everything"),
    key(C::Fold, &["esc"], A::Cancel, "", "nothing"),
    // After `y`.
    key(C::Copy, &["y"], A::CopyMessage, "message", "the whole message, as its bytes are"),
    key(C::Copy, &["b"], A::CopyBody, "body", "params, result or error, indented"),
    key(C::Copy, &["v"], A::CopyValue, "value", "the value under the cursor").when(|m| m.detail.has_value()),
    key(C::Copy, &["p"], A::CopyPath, "path", "the JSON path under the cursor").when(|m| m.detail.row().is_some()),
    key(C::Copy, &["i"], A::CopyId, "id", "the JSON-RPC id"),
    key(C::Copy, &["r"], A::CopyRow, "row", "the row as text"),
    key(C::Copy, &["c"], A::CopyAs(ExportForm::Curl), "curl", "a curl line that sends the request again")
        .when(Model::has_url),
    key(
        C::Copy,
        &["m"],
        A::CopyAs(ExportForm::Markdown),
        "Markdown",
        "the message as Markdown, for an issue or a chat",
    ),
    key(
        C::Copy,
        &["j"],
        A::CopyAs(ExportForm::Lines),
        "JSON line",
        "the message with all that is known of it, as a line of a tape",
    ),
    key(C::Copy, &["esc"], A::Cancel, "", "nothing"),
    // After `w`.
    key(C::Write, &["w"], A::Write(ExportForm::Message), "message", "the whole message, byte for byte"),
    key(C::Write, &["b"], A::Write(ExportForm::Body), "body", "params, result or error, indented"),
    key(
        C::Write,
        &["v"],
        A::Write(ExportForm::Value),
        "value",
        "the value under the cursor; a picture or sound as the file it is",
    )
    .when(|m| m.detail.has_value()),
    key(C::Write, &["c"], A::Write(ExportForm::Curl), "curl", "a script with a curl line that sends the request again")
        .when(Model::has_url),
    key(C::Write, &["m"], A::Write(ExportForm::Markdown), "Markdown", "the message as Markdown"),
    key(C::Write, &["j"], A::Write(ExportForm::Lines), "JSON lines", "all messages that are listed, a line each"),
    key(C::Write, &["h"], A::Write(ExportForm::Archive), "HAR", "all messages that are listed, as an HTTP Archive")
        .when(|m| m.settings.archive.is_some()),
    key(C::Write, &["esc"], A::Cancel, "", "nothing"),
    // After `x` on a tape.
    key(C::Export, &["h"], A::Export(TapeForm::Har), "HAR", "an HTTP Archive, for browsers and proxies"),
    key(C::Export, &["c"], A::Export(TapeForm::Curl), "curl", "a script of curl lines that send it again"),
    key(C::Export, &["j"], A::Export(TapeForm::Jsonl), "JSON lines", "its messages, a line each"),
    key(C::Export, &["m"], A::Export(TapeForm::Markdown), "Markdown", "a transcript, for an issue"),
    key(C::Export, &["l"], A::Export(TapeForm::Html), "HTML", "a page with list, diagram and timeline"),
    key(C::Export, &["p"], A::Export(TapeForm::Pytest), "pytest", "a test in Python"),
    key(C::Export, &["v"], A::Export(TapeForm::Vitest), "vitest", "a test in TypeScript"),
    key(C::Export, &["r"], A::Export(TapeForm::Rust), "Rust", "a test in Rust"),
    key(C::Export, &["esc"], A::Cancel, "", "nothing"),
    // After `t`.
    key(C::Toggle, &["m"], A::Mouse, "mouse", "the mouse on or off; where it is on, shift selects text"),
    key(C::Toggle, &["t"], A::Theme, "theme", "colours for dark, for light, of high contrast, of the terminal, none"),
    key(C::Toggle, &["f"], A::ToggleFilter, "filter", "filter off or on").when(|m| m.list().filter.is_some()),
    key(C::Toggle, &["d"], A::OpenStrings, "JSON in strings", "JSON in strings as JSON, or as the text it is"),
    key(C::Toggle, &["i"], A::Pictures, "pictures", "pictures as pictures, where the terminal can, or described"),
    key(C::Toggle, &["p"], A::Pairs, "pairs", "one row for each exchange, or for each message"),
    key(C::Toggle, &["esc"], A::Cancel, "", "nothing"),
    // Popups.
    key(C::PickSession, &["enter"], A::Accept, "narrow", "show only this session"),
    key(C::PickSession, &["p"], A::Pause, "pause", "have all its messages wait, or go on")
        .when(Model::can_pause)
        .or_hint(|m| m.is_paused().then_some("resume")),
    key(C::PickSession, &["R"], A::Restart, "restart", "restart the session's server; its client stays")
        .when(Model::can_restart),
    key(C::PickSession, &["esc", "q", "s"], A::Cancel, "close", "leave it as it was"),
    key(C::PickSession, &["j", "down"], A::Move(Motion::Down), "", "down"),
    key(C::PickSession, &["k", "up"], A::Move(Motion::Up), "", "up"),
    key(C::Help, &["enter"], A::Accept, "do it", "do what is marked, or close"),
    key(C::Help, &["esc"], A::Cancel, "close", "close"),
    key(C::Help, &["down"], A::Move(Motion::Down), "", "down"),
    key(C::Help, &["up"], A::Move(Motion::Up), "", "up"),
    key(C::Help, &["pgdn"], A::Move(Motion::PageDown), "", "a page down"),
    key(C::Help, &["pgup"], A::Move(Motion::PageUp), "", "a page up"),
    key(C::Block, &["enter"], A::Accept, "block", "send this answer"),
    key(C::Block, &["esc"], A::Cancel, "cancel", "leave it held"),
    key(C::Block, &["down"], A::Move(Motion::Down), "", "next preset or field"),
    key(C::Block, &["up"], A::Move(Motion::Up), "", "previous preset or field"),
    key(C::Block, &["tab"], A::NextField, "next field", "next field"),
    key(C::Block, &["shift tab"], A::PreviousField, "", "previous field"),
    key(C::Offers, &["enter"], A::Accept, "write the call", "open the request for it, to be filled in and sent"),
    key(C::Offers, &["esc"], A::Cancel, "cancel", "call nothing"),
    key(C::Offers, &["down"], A::Move(Motion::Down), "", "down"),
    key(C::Offers, &["up"], A::Move(Motion::Up), "", "up"),
    key(C::Offers, &["pgdn"], A::Move(Motion::PageDown), "", "a page down"),
    key(C::Offers, &["pgup"], A::Move(Motion::PageUp), "", "a page up"),
    key(C::Rule, &["enter"], A::Accept, "in force", "put it in force from the next message on"),
    key(C::Rule, &["esc"], A::Cancel, "cancel", "make no rule"),
    key(C::Rule, &["right"], A::Right, "next action", "what it does: the next").when(Model::chooses_deed),
    key(C::Rule, &["left"], A::Left, "", "what it does: the one before").when(Model::chooses_deed),
    key(C::Rule, &["down", "tab"], A::NextField, "next field", "next field"),
    key(C::Rule, &["up", "shift tab"], A::PreviousField, "", "previous field"),
    key(C::Play, &["enter"], A::Accept, "so it is", "play and serve tapes so from here on"),
    key(C::Play, &["esc"], A::Cancel, "as before", "leave it as it was"),
    key(C::Play, &["right"], A::Right, "other", "the next choice").when(Model::chooses_play),
    key(C::Play, &["left"], A::Left, "", "the choice before").when(Model::chooses_play),
    key(C::Play, &["down", "tab"], A::NextField, "next line", "next line"),
    key(C::Play, &["up", "shift tab"], A::PreviousField, "", "previous line"),
    key(C::AskQuit, &["f", "enter"], A::QuitForward, "forward them", "send them on and quit"),
    key(C::AskQuit, &["x"], A::QuitFail, "fail them", "answer them with an error and quit"),
    key(C::AskQuit, &["esc", "q", "n"], A::Cancel, "stay", "do not quit"),
    key(C::AskAll, &["y", "enter"], A::ForwardAllNow, "forward them", "send them all on"),
    key(C::AskAll, &["esc", "q", "n"], A::Cancel, "leave them", "leave them held"),
    key(C::AskTape, &["y"], A::DeleteTape, "delete it", "delete the tape's file"),
    key(C::AskTape, &["esc", "q", "n", "enter"], A::Cancel, "keep it", "leave it"),
    key(C::AskHold, &["f"], A::HoldOffForward, "forward them", "hold off, and send on what is held"),
    key(C::AskHold, &["k", "enter"], A::HoldOffKeep, "keep them", "hold off, what is held stays held"),
    key(C::AskHold, &["esc", "q"], A::Cancel, "cancel", "leave hold on"),
    key(C::AskRemoveRule, &["y", "enter"], A::RemoveRuleNow, "take it away", "take the rule away"),
    key(C::AskRemoveRule, &["esc", "q", "n"], A::Cancel, "cancel", "leave it"),
    key(C::Pager, &["esc", "q", "enter"], A::Cancel, "close", "close"),
    key(C::Pager, &["/"], A::Type(PromptKind::Search), "search", "search the text"),
    key(C::Pager, &["y"], A::CopyValue, "copy", "copy the text"),
    key(C::Pager, &["j", "down"], A::Move(Motion::Down), "down", "down"),
    key(C::Pager, &["k", "up"], A::Move(Motion::Up), "up", "up"),
    key(C::Pager, &["space", "pgdn", "ctrl d"], A::Move(Motion::PageDown), "page", "a page down"),
    key(C::Pager, &["pgup", "ctrl u"], A::Move(Motion::PageUp), "", "a page up"),
    key(C::Pager, &["g", "home"], A::Move(Motion::Top), "", "to the beginning"),
    key(C::Pager, &["G", "end"], A::Move(Motion::End), "", "to the end"),
    // Motion.
    key(C::Move, &["j", "down"], A::Move(Motion::Down), "", "down"),
    key(C::Move, &["k", "up"], A::Move(Motion::Up), "", "up"),
    key(C::Move, &["ctrl d"], A::Move(Motion::HalfDown), "", "half a page down"),
    key(C::Move, &["ctrl u"], A::Move(Motion::HalfUp), "", "half a page up"),
    key(C::Move, &["space", "pgdn", "ctrl f"], A::Move(Motion::PageDown), "", "a page down"),
    key(C::Move, &["pgup", "ctrl b"], A::Move(Motion::PageUp), "", "a page up"),
    key(C::Move, &["home"], A::Move(Motion::Top), "", "to the first"),
    key(C::Move, &["G", "end"], A::Move(Motion::End), "", "to the last, and follow again"),
    key(C::Move, &["g"], A::Go, "", "go somewhere: the next keys are listed"),
    // While something is searched for.
    key(C::Search, &["n"], A::SearchNext, "next", "next match").when(|m| m.search.is_some()),
    key(C::Search, &["N"], A::SearchPrevious, "previous", "match before").when(|m| m.search.is_some()),
    key(C::Search, &["esc"], A::EndSearch, "end search", "search no more").when(|m| m.search.is_some()),
    // While a command reads a message.
    key(
        C::Piping,
        &["|", "esc"],
        A::StopPipe,
        "stop command",
        "stop the command that reads the message, and all it started",
    )
    .when(Model::pipes),
    // Everywhere.
    key(C::Everywhere, &["1"], A::Screen(ScreenKind::Messages), "messages", "the live messages")
        .when(|m| m.screen != ScreenKind::Messages || m.tape.is_some()),
    key(C::Everywhere, &["2"], A::Screen(ScreenKind::Queue), "queue", "the hold queue")
        .when(|m| m.screen != ScreenKind::Queue),
    key(C::Everywhere, &["3"], A::Screen(ScreenKind::Rules), "rules", "the rules, with their hits")
        .when(|m| m.screen != ScreenKind::Rules),
    key(C::Everywhere, &["4"], A::Screen(ScreenKind::Tapes), "tapes", "tapes, to read and to play")
        .when(|m| m.screen != ScreenKind::Tapes),
    key(C::Everywhere, &["5"], A::Screen(ScreenKind::Metrics), "metrics", "how much passes, and how long it takes")
        .when(|m| m.screen != ScreenKind::Metrics),
    key(C::Everywhere, &["6"], A::Screen(ScreenKind::Events), "events", "the event log")
        .when(|m| m.screen != ScreenKind::Events),
    key(C::Everywhere, &["7"], A::Screen(ScreenKind::Lint), "lint", "what is wrong with messages, by server")
        .when(|m| m.screen != ScreenKind::Lint),
    key(C::Everywhere, &["tab"], A::NextPane, "pane", "next pane").when(Model::has_panes),
    key(C::Everywhere, &["shift tab"], A::PreviousPane, "", "previous pane").when(Model::has_panes),
    key(C::Everywhere, &["+"], A::Zoom, "zoom", "the pane alone, or all of them").when(Model::has_panes),
    key(C::Everywhere, &[":"], A::Type(PromptKind::Command), "command", "all commands by name, or a message by number"),
    key(
        C::Everywhere,
        &["/"],
        A::Type(PromptKind::Search),
        "search",
        "search what is shown here; `\\r` for an expression",
    ),
    key(C::Everywhere, &["t"], A::ToggleMenu, "", "switch something on or off: the next keys are listed"),
    key(C::Everywhere, &["ctrl l"], A::Repaint, "", "redraw the screen"),
    key(C::Everywhere, &["ctrl z"], A::Suspend, "", "suspend: a shell's `fg` comes back, nothing passes until then"),
    key(C::Everywhere, &["Q"], A::Quit, "quit", "quit"),
    key(C::Everywhere, &["?", "f1"], A::Help, "help", "this help"),
    key(C::Everywhere, &["q", "esc"], A::Back, "", "back"),
    key(C::Everywhere, &["ctrl c"], A::Interrupt, "", "once says how to quit, twice quits"),
];
