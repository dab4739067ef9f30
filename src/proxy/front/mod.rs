//! The front doors: where clients come in, one file for each kind of client; and what a request must get past first.

pub mod access;
pub mod http;
pub mod internal;
pub mod origin_check;
pub mod routes;
pub mod stdio;
mod stream_client;
