//! Which nodes are rows, and the rows one after the other.

use std::collections::HashSet;
use std::sync::Arc;

use super::decode::{decode, measure};
use super::index::{Container, Index};
use super::scan::{string_end, value_end};
use crate::json::path::{push_index, push_key};
use crate::text::sanitize;

/// Characters of a string that a row carries.
const HEAD: usize = 200;

/// One line of the tree.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct JsonRow {
    pub depth: u16,
    /// `.params.arguments["a b"][0]`; `.` for the whole. What [`Folds::toggle`](super::tree::Folds::toggle) and [`JsonTree::text_at`](super::tree::JsonTree::text_at) take.
    pub path: String,
    /// The key, or the number of an array's element; `None` for a body that is one value or text.
    pub key: Option<String>,
    pub value: JsonCell,
    pub foldable: bool,
    pub folded: bool,
    /// It is the text of a string.
    pub in_string: bool,
}

impl JsonRow {
    /// The cell of its line in which stands whether it is folded.
    pub fn mark_cell(&self) -> usize {
        1 + usize::from(self.depth) * 2
    }
}

/// What a part of a row is, which decides its colour.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum JsonCell {
    /// An object, with the number of its members.
    Object(usize),
    /// An array, with the number of its elements.
    Array(usize),
    /// The beginning, and how many characters and lines the whole has.
    String {
        head: String,
        chars: usize,
        lines: usize,
    },
    /// A number, spelled as it came.
    Number(String),
    Bool(bool),
    Null,
    /// A line of what is not JSON, or JSON that is nested too deep to unfold.
    Text(String),
}

/// Which nodes are rows: all but the ranges that folded containers hide.
pub(super) struct FoldLayout {
    /// From this row on, rows are the nodes from this node on, up to the next jump.
    jumps: Vec<(u32, u32)>,
    pub(super) rows: u32,
    toggled: HashSet<u32>,
    /// What is the text of a string, in order.
    strings: Arc<Vec<u32>>,
}

/// Whether a container that was not toggled is open. What was a string is opened as well: it was one line before.
pub(super) fn is_open(level: usize, open_depth: usize, in_string: bool) -> bool {
    level < open_depth || (in_string && open_depth > 0)
}

impl FoldLayout {
    pub(super) fn new(index: &Index, open_depth: usize, toggled: HashSet<u32>, strings: Arc<Vec<u32>>) -> Self {
        // The outermost container is no row: its children are the first level.
        let first = u32::from(index.container_at(0).is_some());
        let mut jumps = vec![(0, first)];
        let mut hidden = 0;
        let mut around: Vec<u32> = Vec::new();
        let mut at = first as usize;
        while let Some(container) = index.containers().get(at) {
            while around.last().is_some_and(|end| *end <= container.node) {
                around.pop();
            }
            let in_string = strings.binary_search(&container.node).is_ok();
            if is_open(around.len(), open_depth, in_string) != toggled.contains(&container.node) {
                around.push(container.next);
                at += 1;
            } else {
                hidden += container.next - container.node - 1;
                jumps.push((container.next - first - hidden, container.next));
                at = index.container_from(container.next) as usize;
            }
        }
        Self { jumps, rows: index.len() - first - hidden, toggled, strings }
    }

    /// The row of a node that is not hidden.
    pub(super) fn row_of(&self, node: u32) -> u32 {
        let (from, first) = self.jumps[self.jumps.partition_point(|(_, first)| *first <= node).saturating_sub(1)];
        from + node.saturating_sub(first)
    }

    pub(super) fn node_of(&self, row: u32) -> u32 {
        let (from, node) = self.jumps[self.jumps.partition_point(|(from, _)| *from <= row) - 1];
        node + (row - from)
    }
}

/// Goes from row to row, and keeps the path.
pub(super) struct RowWalk<'a> {
    raw: &'a [u8],
    index: &'a Index,
    layout: Arc<FoldLayout>,
    open_depth: usize,
    /// The containers around the next row, outermost first.
    around: Vec<PathLevel>,
    path: String,
    node: u32,
}

struct PathLevel {
    container: u32,
    /// Which child of the container comes next, from 0.
    ordinal: usize,
    /// Length of the container's own path.
    path: usize,
}

impl<'a> RowWalk<'a> {
    /// Begins at row `row` of `layout`, which was made with `open_depth`.
    pub(super) fn start(
        raw: &'a [u8],
        index: &'a Index,
        layout: Arc<FoldLayout>,
        open_depth: usize,
        row: usize,
    ) -> Self {
        let node = layout.node_of(u32::try_from(row).unwrap_or(u32::MAX));
        let mut walk = Self { raw, index, layout, open_depth, around: Vec::new(), path: String::new(), node };
        let mut chain = Vec::new();
        let mut child = node;
        while let Some((parent, ordinal)) = index.parent_of(child) {
            chain.push((parent, ordinal, child));
            child = index.container(parent).node;
        }
        for (container, ordinal, child) in chain.into_iter().rev() {
            walk.around.push(PathLevel { container, ordinal, path: walk.path.len() });
            if child != node {
                walk.push_segment(container, child, ordinal);
                walk.step_over(ordinal);
            }
        }
        walk
    }

    /// The level around now stands at the child after `ordinal`.
    fn step_over(&mut self, ordinal: usize) {
        if let Some(level) = self.around.last_mut() {
            level.ordinal = ordinal + 1;
        }
    }

    fn push_segment(&mut self, parent: u32, node: u32, ordinal: usize) {
        if self.index.container(parent).is_object() {
            push_key(&mut self.path, &self.index.key(self.raw, node));
        } else {
            push_index(&mut self.path, ordinal);
        }
    }

    /// The key of the row at `node`, as shown; appends it to the path.
    fn enter(&mut self) -> (Option<String>, bool) {
        let Some(PathLevel { container, ordinal, path }) = self.around.last() else {
            self.path.push('.');
            return (None, false);
        };
        let (container, ordinal) = (*container, *ordinal);
        self.path.truncate(*path);
        self.push_segment(container, self.node, ordinal);
        self.step_over(ordinal);
        let in_object = self.index.container(container).is_object();
        let key =
            if in_object { sanitize(&self.index.key(self.raw, self.node)).into_owned() } else { ordinal.to_string() };
        (Some(key), in_object)
    }
}

impl Iterator for RowWalk<'_> {
    type Item = JsonRow;

    fn next(&mut self) -> Option<JsonRow> {
        if self.node >= self.index.len() {
            return None;
        }
        while self.around.last().is_some_and(|level| self.index.container(level.container).next <= self.node) {
            self.around.pop();
        }
        let level = self.around.len().saturating_sub(1);
        let (key, in_object) = self.enter();
        let start = self.index.value_start(self.raw, self.node, in_object);
        let number = self.index.container_at(self.node);
        let container = number.map(|number| self.index.container(number));
        let toggled = self.layout.toggled.contains(&self.node);
        let in_string = self.layout.strings.binary_search(&self.node).is_ok();
        let row = JsonRow {
            depth: u16::try_from(level).unwrap_or(u16::MAX),
            path: self.path.clone(),
            key,
            value: cell(self.raw, start, container.map_or(0, Container::children)),
            foldable: container.is_some(),
            folded: container.is_some() && is_open(level, self.open_depth, in_string) == toggled,
            in_string,
        };
        self.node = match container {
            Some(container) if row.folded => container.next,
            _ => self.node + 1,
        };
        if let Some(container) = number.filter(|_| !row.folded) {
            self.around.push(PathLevel { container, ordinal: 0, path: self.path.len() });
        }
        Some(row)
    }
}

/// The value that starts at `start`, with as many children as were counted.
fn cell(raw: &[u8], start: usize, children: usize) -> JsonCell {
    let is_empty =
        || raw[start + 1..].iter().find(|byte| !byte.is_ascii_whitespace()).is_some_and(|byte| b"]}".contains(byte));
    match raw[start] {
        b'{' if children > 0 || is_empty() => JsonCell::Object(children),
        b'[' if children > 0 || is_empty() => JsonCell::Array(children),
        b'{' | b'[' => JsonCell::Text(head_of(&raw[start..], HEAD)),
        b'"' => {
            let token = &raw[start..string_end(raw, start)];
            let (chars, lines) = measure(token);
            JsonCell::String { head: sanitize(&decode(token, HEAD)).into_owned(), chars, lines }
        }
        b't' => JsonCell::Bool(true),
        b'f' => JsonCell::Bool(false),
        b'n' => JsonCell::Null,
        _ => JsonCell::Number(String::from_utf8_lossy(&raw[start..value_end(raw, start)]).into_owned()),
    }
}

/// The beginning of some bytes as text.
pub(super) fn head_of(bytes: &[u8], chars: usize) -> String {
    let text = String::from_utf8_lossy(&bytes[..bytes.len().min(chars * 4)]);
    let end = text.char_indices().nth(chars).map_or(text.len(), |(at, _)| at);
    sanitize(&text[..end]).into_owned()
}
