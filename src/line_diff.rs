//! Which lines differ between two texts, in hunks with some that do not around them.

use std::time::{Duration, Instant};

use similar::algorithms::{Capture, Compact, Replace, myers};
use similar::{DiffOp, group_diff_ops};

/// Returns the hunks, none where nothing differs. What would take longer than `patience` gets coarser instead.
///
/// The algorithm is called by its name: where it is chosen by a value, all that there are get built, for lines and for what stands for
/// them, which is one line in thirty of what the compiler makes of the whole program.
pub fn hunks(old: &[&str], new: &[&str], context: usize, patience: Duration) -> Vec<Vec<DiffOp>> {
    let mut found = Compact::new(Replace::new(Capture::new()), old, new);
    let deadline = Some(Instant::now() + patience);
    let Ok(()) = myers::diff_deadline(&mut found, old, 0..old.len(), new, 0..new.len(), deadline);
    group_diff_ops(found.into_inner().into_inner().into_ops(), context)
}
