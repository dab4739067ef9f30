//! What an input does to the model: `dispatch` finds the action of a key, the other files carry it out.

mod branching;
mod clipboard;
mod comparing;
mod compose;
mod dispatch;
mod editing;
mod export;
mod hold;
mod insight;
mod jump;
mod marks;
mod mouse;
mod navigate;
mod prompt;
mod quit;
mod rules;
mod search;
mod sessions;
mod tapes;
mod typing;
mod value;

pub(crate) use dispatch::{event, input};
pub(crate) use insight::renew;
