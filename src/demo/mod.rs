//! `tapline demo`: a built-in server and a scripted client through a live proxy.
