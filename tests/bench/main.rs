//! `cargo bench`: what tapline adds, beside the floor.
fn main() {}
