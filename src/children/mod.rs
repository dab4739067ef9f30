//! The processes that tapline starts: servers, programs of hooks, clients that are tried. None of them outlives it.

pub mod guardian;
pub mod orphans;
