//! Tapes: one session, one file of JSON lines (design.md §5).
