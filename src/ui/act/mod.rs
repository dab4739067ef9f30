//! What an input does to the model: finds the action of a key and carries it out.

mod hold;
mod pick;
mod travel;
mod write;

use crossterm::event::{Event as TerminalEvent, KeyEvent};

use super::keymap::Action;
use super::keys::{Key, meaning};
use super::model::bar::Asked;
use super::model::popup::{Ask, Help, Popup, Prefix};
use super::model::{Model, Pane, Screen};
use super::{Exit, Input};
use crate::event::{Command, OnQuit};

pub(crate) fn input(model: &mut Model, input: Input) {
    match input {
        Input::Terminal(TerminalEvent::Key(event)) => key(model, event),
        Input::Terminal(TerminalEvent::Paste(text)) => write::paste(model, &text),
        Input::Terminal(_) => {}
        Input::Interrupt => interrupt(model),
        // A signal asks nobody. A terminal that goes away says so twice, by itself and by a signal: that is no hurry.
        Input::Terminate if model.leaving.is_some() => {}
        Input::Terminate => model.quit(model.settings.on_quit.unwrap_or_default(), Exit::Terminated),
    }
}

fn key(model: &mut Model, event: KeyEvent) {
    let Some(key) = Key::of(&event) else { return };
    if key.name == "ctrl c" {
        return interrupt(model);
    }
    model.interrupted = false;
    // Keys may come faster than drawings, and these look at what is under the cursor of the detail.
    if model.pane == Pane::Detail || matches!(model.popup, Some(Popup::Prefix(_))) {
        model.show_detail();
    }
    match meaning(model, &key) {
        Some(binding) => {
            // A prefix is used up by the key after it, whatever that does.
            if matches!(model.popup, Some(Popup::Prefix(_))) {
                model.popup = None;
            }
            act(model, binding.action);
        }
        None => write::typed(model, &key, event),
    }
}

/// ctrl c in raw mode, and the signal of the same name.
fn interrupt(model: &mut Model) {
    if model.interrupted || model.leaving.is_some() {
        return quit(model, model.settings.on_quit.unwrap_or_default());
    }
    model.interrupted = true;
    let fate = match model.settings.on_quit.unwrap_or_default() {
        _ if model.facts.held.is_empty() => "",
        OnQuit::Forward => "; what is held is forwarded",
        OnQuit::Fail => "; what is held is answered with an error",
    };
    model.warn(format!("ctrl c again quits{fate}"));
}

fn quit(model: &mut Model, held: OnQuit) {
    model.quit(held, Exit::Quit);
}

fn ask_quit(model: &mut Model) {
    match model.settings.on_quit {
        None if !model.facts.held.is_empty() && model.leaving.is_none() => model.popup = Some(Popup::Ask(Ask::Quit)),
        held => quit(model, held.unwrap_or_default()),
    }
}

pub(crate) fn act(model: &mut Model, action: Action) {
    match action {
        Action::Move(motion) => travel::go(model, motion),
        Action::Left => model.detail.turn(-1),
        Action::Right => model.detail.turn(1),
        Action::Screen(screen) => travel::to_screen(model, screen),
        Action::NextPane => travel::next_pane(model, 1),
        Action::PreviousPane => travel::next_pane(model, -1),
        Action::Zoom => model.zoomed = !model.zoomed,
        Action::Open => travel::open(model),
        Action::Back => travel::back(model),
        Action::Pair => travel::to_pair(model),
        Action::NextError => travel::next_error(model),
        Action::NextHeld => travel::next_held(model),
        Action::Follow => travel::follow(model),
        Action::FoldToggle | Action::FoldOpen | Action::FoldClose => fold(model, action),
        Action::UnfoldAll => model.detail.folds.open_all(),
        Action::FoldAll => model.detail.folds.close_all(),

        Action::Quit => ask_quit(model),
        Action::Interrupt => interrupt(model),
        Action::QuitForward => {
            if model.settings.attached {
                // Leaving alone would let nothing go where others watch as well.
                model.send(Command::ForwardAll);
            }
            quit(model, OnQuit::Forward);
        }
        Action::QuitFail => quit(model, OnQuit::Fail),
        Action::Help => model.popup = Some(Popup::Help(Help::default())),
        Action::Go => model.popup = Some(Popup::Prefix(Prefix::Go)),
        Action::FoldMenu => model.popup = Some(Popup::Prefix(Prefix::Fold)),
        Action::CopyMenu => model.popup = Some(Popup::Prefix(Prefix::Copy)),
        Action::Cancel => cancel(model),
        Action::Accept => accept(model),
        Action::NextField => pick::next_field(model, 1),
        Action::PreviousField => pick::next_field(model, -1),
        Action::PickSession => pick::session_popup(model),

        Action::Type(asked) => write::open_bar(model, asked),
        Action::ToggleFilter => write::toggle_filter(model),
        Action::Older => write::history(model, -1),
        Action::Newer => write::history(model, 1),

        Action::Hold => hold::switch(model),
        Action::HoldOffForward => hold::switch_off(model, true),
        Action::HoldOffKeep => hold::switch_off(model, false),
        Action::Pause => hold::pause(model),
        Action::Forward => hold::forward(model, crate::event::Then::Nothing),
        Action::Step => hold::forward(model, crate::event::Then::HoldNext),
        Action::HoldReply => hold::forward(model, crate::event::Then::HoldReply),
        Action::ForwardAll => hold::forward_all(model),
        Action::ForwardAllNow => hold::forward_all_now(model),
        Action::Drop => hold::drop_it(model),
        Action::Block => hold::block(model),
        Action::BlockPreset => hold::block_preset(model),
        Action::Revert => hold::revert(model),

        Action::Edit => write::edit(model),
        Action::Resend => write::resend(model),
        Action::Send => write::send(model, write::Strict::Json),
        Action::SendRaw => write::send(model, write::Strict::Nothing),
        Action::Outside | Action::Format | Action::Undo | Action::Redo | Action::Original | Action::ToggleDiff => {
            write::in_editor(model, action);
        }

        Action::CopyMessage
        | Action::CopyBody
        | Action::CopyValue
        | Action::CopyPath
        | Action::CopyId
        | Action::CopyRow => pick::copy(model, action),

        Action::Play => pick::play(model),
        Action::StopPlay => model.send(Command::StopReplay),
        Action::Pace => model.tapes.next_speed(),
        Action::NextFail => {
            if let Some(replay) = &mut model.tapes.replay {
                replay.next_fail();
            }
        }
        Action::Level => model.log.next_level(),
        Action::Group => model.board.next_group(),
        Action::Order => model.board.next_order(),
        Action::Widen => model.board.widen(),
        Action::Narrow => model.board.narrow(),
        Action::Restart => pick::restart(model),
    }
}

fn fold(model: &mut Model, action: Action) {
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

fn cancel(model: &mut Model) {
    if model.popup.take().is_none() {
        write::close_bar(model);
    }
}

fn accept(model: &mut Model) {
    match &model.popup {
        Some(Popup::Sessions(place)) => {
            let seat = place.cursor;
            model.popup = None;
            pick::narrow(model, seat);
        }
        Some(Popup::Block(_)) => hold::send_block(model),
        _ => write::accept_bar(model),
    }
}

/// Puts the cursor of the live list on a message and shows it.
fn show_message(model: &mut Model, seq: crate::envelope::Seq) {
    let (rows, list) = model.book_mut();
    if rows.of(seq).is_none() {
        return model.warn(format!("{seq} is not here"));
    }
    if !list.jump(rows, seq) {
        // Hidden by a filter: being asked for it outweighs having hidden it.
        list.filter_off = list.filter.is_some();
        list.only = None;
        list.refilter(rows);
        while list.work(rows, std::time::Duration::from_millis(50)) {}
        list.jump(rows, seq);
        model.say("the filter hid it: filter off, `T` turns it on");
    }
    model.screen = Screen::Messages;
    if model.pane == Pane::Sessions {
        model.pane = Pane::List;
    }
}

/// The number typed after `:`.
fn goto(model: &mut Model, text: &str) {
    match text.trim().trim_start_matches('#').parse() {
        Ok(number) => {
            if model.screen != Screen::Messages {
                model.tape = None;
            }
            show_message(model, crate::envelope::Seq(number));
        }
        Err(_) => model.warn(format!("`{}` is no number of a message", text.trim())),
    }
}

/// The suggestion for a first hold filter. Never the handshake: holding that stops a client before it begins.
const HOLD_SUGGESTION: &str = "~m tools/call";

fn suggested(model: &Model, asked: Asked) -> String {
    match asked {
        Asked::Filter => model.list().filter.as_ref().map(|(text, _)| text.clone()).unwrap_or_default(),
        Asked::Hold if model.facts.holding.filter.is_empty() => HOLD_SUGGESTION.to_owned(),
        Asked::Hold => model.facts.holding.filter.clone(),
        Asked::Goto => String::new(),
    }
}
