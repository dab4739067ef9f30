//! What an input does to the model: `dispatch` finds the action of a key, the other files carry it out.

mod clipboard;
mod dispatch;
mod editing;
mod export;
mod hold;
mod jump;
mod navigate;
mod prompt;
mod quit;
mod search;
mod sessions;
mod tapes;
mod typing;
mod value;

pub(crate) use dispatch::input;
