//! The screen as a person uses it: events and keys in, commands and pictures out.

mod branching;
mod clock;
mod comparing;
mod compose;
mod content;
mod find;
mod key_table;
mod keys;
mod lint;
mod metrics;
mod notes;
mod own_keys;
mod pictures;
mod reading;
mod readme;
mod rig;
mod robust;
mod rows;
mod rules;
mod run;
mod same_set;
mod scenes;
mod see;
mod shadow;
mod undo;
mod values;
