//! What a message says to people: text as a reader sees it (Markdown), pictures, sounds, links; wherever the protocol has such content.
//!
//! `blocks` finds it in a message, `markdown` reads text, `media` says what bytes are (and what is wrong with them), `page` lays all out in
//! rows of a width. Plain functions on values; what a picture becomes on a terminal is `graphics`' affair.
//!
//! Markdown is read by `pulldown-cmark` without its HTML side (1.3 seconds of building): tables, nested lists and fences are what servers
//! send, and what a reader of a hundred lines gets wrong. What was really sent stands in the sides Tree, Text and Raw.

mod blocks;
mod markdown;
mod media;
mod page;

pub(crate) use blocks::{ContentBlock, blocks, has_content};
pub(crate) use media::MediaBlock;
pub(crate) use page::{ContentPage, PageRow, TextInk, block_lines};
