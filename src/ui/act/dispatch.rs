//! What an input does to the model: finds the action of a key and carries it out.

use crossterm::event::{Event as TerminalEvent, KeyEvent};

use super::jump::{goto, is_number};
use super::quit::{ask_quit, interrupt, quit, quit_and_forward};
use super::{
    branching, clipboard, comparing, compose, editing, hold, insight, marks, mouse, navigate, prompt, rules, search,
    sessions, tapes, typing, value,
};
use crate::event::{Command, Event, OnQuit, Then};
use crate::ui::help::marked_action;
use crate::ui::host::{Exit, ScreenInput};
use crate::ui::key_press::KeyPress;
use crate::ui::keymap::{Action, command, meaning};
use crate::ui::layout::TOO_SMALL;
use crate::ui::model::popup::{Help, Popup, Prefix};
use crate::ui::model::prompt::PromptKind;
use crate::ui::model::{Effect, Model, Pane, ScreenKind};
use crate::ui::settings::ColorTheme;

pub(crate) fn input(model: &mut Model, input: ScreenInput) {
    match input {
        ScreenInput::Terminal(TerminalEvent::Key(event)) => key(model, event),
        ScreenInput::Terminal(TerminalEvent::Paste(text)) => typing::paste(model, &text),
        ScreenInput::Terminal(TerminalEvent::Mouse(event)) => {
            model.notice = None;
            if let Some(name) = mouse::mouse(model, event) {
                press(model, &KeyPress::named(name), None);
            }
        }
        ScreenInput::Piped { command, output } => clipboard::piped(model, &command, output),
        ScreenInput::Exported(written) => tapes::exported(model, written),
        ScreenInput::Terminal(_) | ScreenInput::Resized | ScreenInput::PictureReady => {}
        ScreenInput::Interrupt => interrupt(model),
        // A signal asks no question. A terminal that goes away says so twice, by itself and by a signal: that is no hurry.
        ScreenInput::Terminate if model.quitting.leaving.is_some() => {}
        ScreenInput::Terminate => model.quit(model.settings.on_quit.unwrap_or_default(), Exit::Terminated),
    }
}

pub(crate) fn event(model: &mut Model, event: Event) {
    match event {
        Event::Examined(standing) => insight::examined(model, &standing),
        event => model.on_event(event),
    }
}

fn key(model: &mut Model, event: KeyEvent) {
    if let Some(key) = KeyPress::of(&event) {
        press(model, &key, Some(event));
    }
}

fn press(model: &mut Model, key: &KeyPress, event: Option<KeyEvent>) {
    if key.name == "ctrl c" {
        return interrupt(model);
    }
    model.quitting.interrupted = false;
    // What was said has been read, and may no longer be true.
    model.notice = None;
    if model.viewport.tiny {
        return model.warn(TOO_SMALL);
    }
    // Keys may come faster than drawings, and these look at what is under the cursor of the detail.
    if model.pane == Pane::Detail || matches!(model.popup, Some(Popup::Prefix(_))) {
        model.show_detail();
    }
    match meaning(model, key) {
        Some(binding) => {
            // A prefix is used up by the key after it, whatever that does.
            if matches!(model.popup, Some(Popup::Prefix(_))) {
                model.popup = None;
            }
            act(model, binding.action);
        }
        None => event.into_iter().for_each(|event| typing::typed(model, key, event)),
    }
}

pub(crate) fn act(model: &mut Model, action: Action) {
    match action {
        Action::Move(motion) => navigate::go(model, motion),
        Action::Left if matches!(model.popup, Some(Popup::Rule(_))) => rules::choose(model, -1),
        Action::Right if matches!(model.popup, Some(Popup::Rule(_))) => rules::choose(model, 1),
        Action::Left | Action::Right if matches!(model.popup, Some(Popup::Play(_))) => {
            turn_choice(model, if action == Action::Left { -1 } else { 1 });
        }
        Action::Left => model.detail.turn_tab(-1),
        Action::Right => model.detail.turn_tab(1),
        Action::Screen(screen) => navigate::to_screen(model, screen),
        Action::NextPane => navigate::next_pane(model, 1),
        Action::PreviousPane => navigate::next_pane(model, -1),
        Action::Zoom => model.zoomed = !model.zoomed,
        Action::Open => navigate::open(model),
        Action::Back => navigate::back(model),
        Action::Pair if model.screen == ScreenKind::Compare => comparing::open_first(model),
        Action::Pair => navigate::to_pair(model),
        Action::Pairs => prompt::toggle_pairs(model),
        Action::NextError => navigate::next_error(model),
        Action::NextHeld => navigate::next_held(model),
        Action::Follow => navigate::follow(model),
        Action::FoldToggle | Action::FoldOpen | Action::FoldClose | Action::UnfoldAll | Action::FoldAll
            if !model.detail.has_folds() =>
        {
            model.notify("nothing is folded here: the tree of the message has folds");
        }
        Action::FoldToggle | Action::FoldOpen | Action::FoldClose => fold(model, action),
        Action::UnfoldAll => model.detail.folds.open_all(),
        Action::FoldAll => model.detail.folds.close_all(),
        _ => ask(model, action),
    }
}

/// What opens a line, a form or a question, or is done in one.
fn ask(model: &mut Model, action: Action) {
    match action {
        Action::ToggleMenu => model.popup = Some(Popup::Prefix(Prefix::Toggle)),
        Action::Quit => ask_quit(model),
        Action::Interrupt => interrupt(model),
        Action::QuitForward => quit_and_forward(model),
        Action::QuitFail => quit(model, OnQuit::Fail),
        Action::Help => model.popup = Some(Popup::Help(Help::default())),
        Action::Go => model.popup = Some(Popup::Prefix(Prefix::Go)),
        Action::FoldMenu => model.popup = Some(Popup::Prefix(Prefix::Fold)),
        Action::CopyMenu => clipboard::copy_menu(model),
        Action::Cancel => cancel(model),
        Action::Accept => accept(model),
        Action::NextField => next_field(model, 1),
        Action::PreviousField => next_field(model, -1),
        Action::PickSession => sessions::open_session_popup(model),
        Action::Type(PromptKind::Comment) => marks::open_comment(model),
        Action::Type(PromptKind::TapeName | PromptKind::TapeNote) if tapes::is_recorded_now(model) => {}
        Action::Type(asked) => prompt::open_prompt(model, asked),
        Action::ToggleFilter => prompt::toggle_filter(model),
        Action::Older => prompt::step(model, -1),
        Action::Newer => prompt::step(model, 1),
        Action::Complete => prompt::complete(model, 1),
        Action::CompleteBack => prompt::complete(model, -1),
        Action::SearchNext => search::next(model, true),
        Action::SearchPrevious => search::next(model, false),
        Action::EndSearch => model.search = None,
        _ => decide(model, action),
    }
}

/// What becomes of messages.
fn decide(model: &mut Model, action: Action) {
    match action {
        Action::Compose => compose::open(model),
        Action::Hold => hold::toggle(model),
        Action::HoldOffForward => hold::turn_off(model, true),
        Action::HoldOffKeep => hold::turn_off(model, false),
        Action::Pause => sessions::pause(model),
        Action::Forward => hold::forward(model, Then::Nothing),
        Action::Step => hold::forward(model, Then::HoldNext),
        Action::HoldReply => hold::forward(model, Then::HoldReply),
        Action::KeepPatient => hold::keep_patient(model),
        Action::ForwardAll => hold::forward_all(model),
        Action::ForwardAllNow => hold::forward_all_now(model),
        Action::Drop => hold::drop_selected(model),
        Action::Block => hold::block(model),
        Action::Answer => hold::answer(model),
        Action::BlockPreset => hold::block_preset(model),
        Action::Revert if model.screen == ScreenKind::Rules => rules::revert(model),
        Action::Revert => hold::revert(model),
        Action::Edit if model.screen == ScreenKind::Rules => rules::edit(model),
        Action::Edit => editing::edit(model),
        Action::Resend => editing::resend(model),
        Action::EditValue => value::edit(model),
        Action::TurnValue => value::turn(model),
        Action::Pick => value::pick(model),
        Action::WholeText => value::to_editor(model),
        Action::Send if model.rules_screen.editor.is_some() => rules::send(model),
        Action::Send if model.prompt.is_some() => value::send(model),
        Action::Send if model.can_send_as_new() => editing::send_as_new(model),
        Action::Send => editing::send(model, editing::Strict::Json),
        Action::SendRaw => editing::send(model, editing::Strict::Nothing),
        Action::CancelCall => editing::cancel_call(model),
        Action::Undo | Action::Redo | Action::GoToFault if model.rules_screen.editor.is_some() => {
            rules::change_text(model, action);
        }
        Action::Outside
        | Action::Format
        | Action::Undo
        | Action::Redo
        | Action::Original
        | Action::GoToFault
        | Action::ToggleDiff => {
            editing::change_text(model, action);
        }
        Action::Restart => sessions::restart(model),
        _ => look(model, action),
    }
}

/// What is looked at, noted, and carried out of the screen.
fn look(model: &mut Model, action: Action) {
    match action {
        Action::Fork => branching::fork(model),
        Action::Rewind => branching::rewind(model),
        Action::Rule => rules::open(model),
        Action::Why => insight::why(model),
        Action::Timeline => insight::timeline(model),
        Action::Sequence => insight::sequence(model),
        Action::Suspend => suspend(model),
        Action::UndoLast => model.undo_last(),
        Action::Mark => marks::mark(model),
        Action::OnlyMarked => marks::only_marked(model),
        Action::Unmark => marks::unmark(model),
        Action::Compare if model.screen == ScreenKind::Tapes => comparing::mark(model),
        Action::Compare => marks::compare(model),
        Action::Sort => navigate::sort(model, 1),
        Action::Reverse if model.screen == ScreenKind::Compare => comparing::turn_around(model),
        Action::Reverse => navigate::sort(model, 0),
        Action::Theme => next_theme(model),
        Action::Repaint => model.effect(Effect::Repaint),
        Action::Mouse => toggle_mouse(model),
        Action::OpenStrings => toggle_strings(model),
        Action::Pictures => toggle_pictures(model),
        Action::CopyMessage
        | Action::CopyBody
        | Action::CopyValue
        | Action::CopyPath
        | Action::CopyId
        | Action::CopyRow
        | Action::CopyAs(_) => clipboard::copy(model, action),
        Action::WriteMenu => model.popup = Some(Popup::Prefix(Prefix::Write)),
        Action::Write(form) => clipboard::write(model, form),
        Action::Page => clipboard::page(model),
        _ => look_elsewhere(model, action),
    }
}

/// What is looked at on the other screens.
fn look_elsewhere(model: &mut Model, action: Action) {
    match action {
        Action::StopPipe => clipboard::stop_pipe(model),
        Action::Level => model.log.next_level(),
        Action::Source => model.log.next_source(),
        Action::ReadLine => clipboard::read_line(model),
        Action::CopyLine => clipboard::copy_line(model),
        Action::SwitchRule | Action::RuleUp | Action::RuleDown | Action::RemoveRule | Action::RemoveRuleNow => {
            rules::change(model, action);
        }
        Action::NewRule => rules::write_new(model),
        Action::SaveRules => rules::save(model, None),
        Action::Group => model.metrics.next_group(),
        Action::Order => model.metrics.next_order(),
        Action::Widen if !model.metrics.zoom(1) => model.notify("the buckets are as wide as they become"),
        Action::Narrow if !model.metrics.zoom(-1) => model.notify("the buckets are as narrow as they become"),
        _ => with_tapes(model, action),
    }
}

/// What is done with tapes on their screen.
fn with_tapes(model: &mut Model, action: Action) {
    match action {
        Action::Play => tapes::play(model),
        Action::StopPlay => model.send(Command::StopReplay),
        Action::Pace => model.tapes.choices.turn_pace(1),
        Action::Serve => tapes::serve(model),
        Action::CopyAddress => tapes::copy_address(model),
        Action::PlayOptions => tapes::open_options(model),
        Action::ExportMenu => model.popup = Some(Popup::Prefix(Prefix::Export)),
        Action::Export(form) => tapes::export(model, form),
        Action::StepReplay => tapes::step(model),
        Action::NextFail => tapes::next_fail(model),
        Action::ReadStep => tapes::read_step(model),
        Action::AcceptReply => tapes::accept_reply(model),
        Action::IgnorePaths => tapes::ignore_paths(model),
        Action::AskDelete => tapes::ask_delete(model),
        Action::DeleteTape => tapes::delete(model),
        _ => {}
    }
}

/// What was typed after `:`: the number of a message, or a command by its name.
fn run_command(model: &mut Model) {
    let Some(prompt) = model.prompt.take() else { return };
    let typed = prompt.line.text().trim();
    let Some(choice) = prompt.chosen() else { return };
    if let Some(name) = typed.strip_prefix("filter save ") {
        let name = name.trim().to_owned();
        return prompt::save_filter(model, &name);
    }
    if let Some(file) = typed.strip_prefix("rules save ") {
        return rules::save(model, Some(file));
    }
    if is_number(typed) {
        return goto(model, typed);
    }
    match command(model, typed, choice) {
        Some(row) if row.works => act(model, row.action),
        Some(row) => model.warn(format!("`{}` does nothing here: {}", row.name, row.help)),
        None => model.warn(format!("no command is called `{typed}`: `<everywhere command>` alone lists them")),
    }
}

fn suspend(model: &mut Model) {
    model.effect(Effect::Suspend(match model.settings.attached {
        true => "suspended, the taplines it watches run on; `fg` comes back",
        false => "suspended, and with it all that passes; `fg` comes back",
    }));
}

fn next_theme(model: &mut Model) {
    model.settings.theme = model.settings.theme.next();
    model.settings.mono = model.settings.theme == ColorTheme::Mono;
    let word = model.settings.theme.word();
    model.notify(format!("theme {word}: `theme = \"{word}\"` in tapline.toml keeps it"));
}

fn toggle_mouse(model: &mut Model) {
    model.mouse_off = !model.mouse_off;
    model.effect(Effect::Mouse(!model.mouse_off));
    model.notify(if model.mouse_off {
        "the mouse is the terminal's: it selects text"
    } else {
        "the mouse clicks and scrolls here; shift selects text"
    });
}

fn fold(model: &mut Model, action: Action) {
    // On a single value, as in vim: the container around it.
    if model.detail.fold().is_none() && !model.detail.go_to_parent() {
        return;
    }
    let Some(folded) = model.detail.fold() else { return };
    let wanted = match action {
        Action::FoldOpen => folded,
        Action::FoldClose => !folded,
        _ => true,
    };
    if wanted {
        model.detail.toggle_fold();
    }
}

fn toggle_pictures(model: &mut Model) {
    if model.settings.graphics.is_none() {
        return model.warn("this terminal did not say that it shows pictures: they are described");
    }
    model.pictures_off = !model.pictures_off;
    model.notify(if model.pictures_off { "pictures are described" } else { "pictures are drawn in the side Content" });
}

fn toggle_strings(model: &mut Model) {
    model.detail.strings_closed = !model.detail.strings_closed;
    let words = if model.detail.strings_closed { "text" } else { "JSON" };
    model.notify(format!("JSON in strings is shown as {words}"));
}

fn turn_choice(model: &mut Model, by: isize) {
    if let Some(Popup::Play(form)) = &mut model.popup {
        form.turn(by);
    }
}

fn next_field(model: &mut Model, by: isize) {
    match &mut model.popup {
        Some(Popup::Rule(form)) => form.next_field(by),
        Some(Popup::Play(form)) => form.next_field(by),
        Some(_) => hold::next_field(model, by),
        None => value::next(model, by),
    }
}

fn cancel(model: &mut Model) {
    if model.popup.take().is_none() {
        prompt::close_prompt(model);
    }
}

fn accept(model: &mut Model) {
    match &model.popup {
        Some(Popup::Sessions(place)) => {
            let position = place.cursor;
            model.popup = None;
            model.narrow_to_session(position);
        }
        Some(Popup::Block(_)) => hold::send_block(model),
        Some(Popup::Rule(_)) => rules::keep(model),
        Some(Popup::Play(_)) => tapes::keep_options(model),
        Some(Popup::Offers(_)) => compose::compose(model),
        Some(Popup::Help(help)) => {
            let action = marked_action(model, help);
            model.popup = None;
            if let Some(action) = action {
                act(model, action);
            }
        }
        _ => match model.prompt.as_ref().map(|prompt| prompt.kind) {
            Some(PromptKind::Value) => value::keep(model),
            Some(PromptKind::Search) => search::accept(model),
            Some(PromptKind::Command) => run_command(model),
            Some(PromptKind::Pipe) => clipboard::pipe(model),
            Some(PromptKind::Comment) => marks::comment(model),
            Some(PromptKind::TapeName | PromptKind::TapeNote) => tapes::name_or_note(model),
            _ => prompt::accept_prompt(model),
        },
    }
}
