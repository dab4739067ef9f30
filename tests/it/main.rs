//! All integration tests in one binary: it links once and shares its support code.

mod demo;
mod demo_live;
mod screen;
