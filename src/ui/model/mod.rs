//! Everything on the screen, as plain data: no drawing, no I/O.
//!
//! [`Model`] is in `state`; the other files are its parts. `on_event` is what an event of the core does to it, and
//! `selection` what the keys are about. Keys change it in `ui::act`. What it wants done outside comes back as [`Effect`]s.

mod annotations;
pub(crate) mod answer;
mod change;
mod client_clock;
pub(crate) mod column_needs;
pub(crate) mod compare_screen;
pub(crate) mod completion;
pub(crate) mod detail;
pub(crate) mod editor;
pub(crate) mod event_log;
pub(crate) mod hold_queue;
pub(crate) mod input_line;
mod json_rpc;
pub(crate) mod lint_screen;
mod list_context;
pub(crate) mod listed;
pub(crate) mod message_list;
pub(crate) mod message_rows;
pub(crate) mod metrics_screen;
pub(crate) mod motion;
pub(crate) mod observed;
pub(crate) mod offers;
mod on_event;
pub(crate) mod own_call;
pub(crate) mod patience;
pub(crate) mod play_form;
pub(crate) mod popup;
pub(crate) mod prompt;
mod resync;
mod row_block;
mod row_outlines;
pub(crate) mod rule_editor;
pub(crate) mod rule_form;
pub(crate) mod rules_screen;
pub(crate) mod seams;
pub(crate) mod search;
mod searching;
mod selection;
mod server_said;
pub(crate) mod session_list;
mod state;
pub(crate) mod tapes_screen;
pub(crate) mod traffic_stats;
pub(crate) mod undo;
pub(crate) mod value_edit;
pub(crate) mod wrapped_text;

pub(crate) use crate::filter::summary;
pub(crate) use change::{Change, Effect};
pub(crate) use state::{Model, Pane, PaneBorder, ScreenKind, Viewport, age, sent_at};
