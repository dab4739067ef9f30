//! A body as a tree of rows that fold, or as lines of text where it is not JSON.

use std::borrow::Cow;
use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use super::decode::decode;
use super::embedded::{Unmarked, unfold, unmark};
use super::index::Index;
use super::rows::{FoldLayout, JsonCell, JsonRow, RowWalk, head_of, is_open};
use super::scan::BOM;
use crate::json::path::{JsonPath, PathStep, push_index, push_key};

/// Characters of a line of text that a row carries.
const LINE: usize = 2000;

/// A body, ready to be shown.
pub struct JsonTree {
    raw: Bytes,
    body: TreeBody,
    /// What it was before the JSON in its strings was written out, and the nodes that were.
    folded: Option<Bytes>,
    in_strings: Arc<Vec<u32>>,
    /// The last layout, as drawing asks again and again with the same folds.
    layout: Mutex<Option<(Folds, Arc<FoldLayout>)>>,
}

enum TreeBody {
    Json(Index),
    /// Where each line begins.
    Text(Vec<u32>),
}

/// What is open: everything down to a depth, but for the paths that were toggled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Folds {
    open_depth: usize,
    toggled: HashSet<String>,
}

impl Folds {
    /// Containers in rows of a depth below `open_depth` are open; 0 closes all.
    pub fn new(open_depth: usize) -> Self {
        Self { open_depth, toggled: HashSet::new() }
    }

    /// Opens what is folded at `path`, or folds it.
    pub fn toggle(&mut self, path: &str) {
        if !self.toggled.remove(path) {
            self.toggled.insert(path.to_owned());
        }
    }

    /// Opens all containers.
    pub fn open_all(&mut self) {
        *self = Self::new(usize::MAX);
    }

    /// Folds everything but the root.
    pub fn close_all(&mut self) {
        *self = Self::new(0);
    }
}

impl Default for Folds {
    /// Deep enough to see the text of a tool's result.
    fn default() -> Self {
        Self::new(3)
    }
}

impl JsonTree {
    /// Never fails: what is not JSON is shown as text.
    pub fn new(raw: &Bytes) -> Self {
        let raw = raw.strip_prefix(BOM).map_or_else(|| raw.clone(), |rest| raw.slice_ref(rest));
        let body = match Index::build(&raw) {
            Ok(index) => TreeBody::Json(index),
            Err(_) => TreeBody::Text(line_starts(&raw)),
        };
        Self { raw, body, folded: None, in_strings: Arc::default(), layout: Mutex::new(None) }
    }

    /// With the JSON in strings as branches of the tree, under the strings' own paths.
    pub(crate) fn unfolded(raw: &Bytes) -> Self {
        match unfold(raw) {
            Some(text) => Self { folded: Some(raw.clone()), ..Self::of_marked(&text) },
            None => Self::new(raw),
        }
    }

    /// Of a text in which what strings are the text of is marked.
    pub(crate) fn of_marked(text: &str) -> Self {
        let Unmarked { text, places } = unmark(text);
        let mut tree = Self::new(&text.into());
        if let (TreeBody::Json(index), false) = (&tree.body, places.is_empty()) {
            let nodes = index.containers().iter().map(|container| container.node).filter(|node| {
                let in_object = index.parent_of(*node).is_some_and(|(parent, _)| index.container(parent).is_object());
                places.binary_search(&index.value_start(&tree.raw, *node, in_object)).is_ok()
            });
            tree.in_strings = Arc::new(nodes.collect());
        }
        tree
    }

    /// How jq says a path, which knows what stands in a string only behind `fromjson`.
    pub(crate) fn jq_path(&self, path: &str) -> String {
        let (TreeBody::Json(index), Ok(steps), false) =
            (&self.body, path.parse::<JsonPath<'_>>(), self.in_strings.is_empty())
        else {
            return path.to_owned();
        };
        let (mut text, mut here) = (String::new(), String::new());
        for step in steps.steps() {
            let nodes = self.find(index, &here);
            if nodes.first().is_some_and(|(node, _)| self.in_strings.binary_search(node).is_ok()) {
                text.push_str(" | fromjson | ");
            }
            for text in [&mut text, &mut here] {
                match step {
                    PathStep::Key(key) => push_key(text, key),
                    PathStep::Index(ordinal) => push_index(text, *ordinal),
                }
            }
        }
        text
    }

    /// Whether the body is JSON.
    pub fn is_json(&self) -> bool {
        matches!(self.body, TreeBody::Json(_))
    }

    /// How many rows are seen with these folds.
    pub fn row_count(&self, folds: &Folds) -> usize {
        match &self.body {
            TreeBody::Json(index) => self.layout(index, folds).rows as usize,
            TreeBody::Text(lines) => lines.len(),
        }
    }

    /// The rows of `range`, as far as there are so many.
    pub fn rows(&self, folds: &Folds, range: Range<usize>) -> Vec<JsonRow> {
        let range = range.start..range.end.min(self.row_count(folds));
        match &self.body {
            TreeBody::Json(_) if range.is_empty() => Vec::new(),
            TreeBody::Json(index) => {
                let layout = self.layout(index, folds);
                RowWalk::start(&self.raw, index, layout, folds.open_depth, range.start).take(range.len()).collect()
            }
            TreeBody::Text(lines) => range.map(|line| self.text_row(lines, line)).collect(),
        }
    }

    /// The text of the string at `path`, or the JSON of any other value; the whole body for `.` and the empty path.
    pub fn text_at(&self, path: &str) -> Option<String> {
        // What stands in no string is told as it came; what does not is found there only.
        if let Some(text) = self.folded.as_ref().and_then(|folded| Self::new(folded).text_at(path)) {
            return Some(text);
        }
        let TreeBody::Json(index) = &self.body else {
            return Some(String::from_utf8_lossy(&self.raw).into_owned());
        };
        // Of a key that occurs twice, JSON readers take the last.
        let (node, in_object) = self.find(index, path).pop()?;
        let token = index.token(&self.raw, node, in_object);
        let is_string = token.first() == Some(&b'"');
        Some(if is_string { decode(token, usize::MAX) } else { String::from_utf8_lossy(token).into_owned() })
    }

    /// Where the value at `path` stands in the body; `None` where there is none, or several of that name.
    pub(crate) fn place(&self, path: &str) -> Option<Range<usize>> {
        let TreeBody::Json(index) = &self.body else { return None };
        let [(node, in_object)] = self.find(index, path)[..] else { return None };
        let start = index.value_start(&self.raw, node, in_object);
        Some(start..start + index.token(&self.raw, node, in_object).len())
    }

    /// How many rows there are where nothing is folded.
    pub(crate) fn all_rows(&self) -> usize {
        match &self.body {
            TreeBody::Json(index) => (index.len() - first_node(index)) as usize,
            TreeBody::Text(lines) => lines.len(),
        }
    }

    /// What a row says, of all rows: its key and its value, whole. Not sanitized.
    pub(crate) fn words(&self, row: usize) -> String {
        let index = match &self.body {
            TreeBody::Json(index) => index,
            TreeBody::Text(lines) if row < lines.len() => return self.text_line(lines, row).into_owned(),
            TreeBody::Text(_) => return String::new(),
        };
        let node = first_node(index) + u32::try_from(row).unwrap_or(u32::MAX - 1);
        if node >= index.len() {
            return String::new();
        }
        let in_object = index.parent_of(node).is_some_and(|(parent, _)| index.container(parent).is_object());
        let key = if in_object { index.key(&self.raw, node) } else { String::new() };
        if index.container_at(node).is_some() {
            return key;
        }
        let token = index.token(&self.raw, node, in_object);
        let value = if token.first() == Some(&b'"') {
            decode(token, usize::MAX)
        } else {
            String::from_utf8_lossy(token).into_owned()
        };
        if key.is_empty() { value } else { format!("{key}  {value}") }
    }

    /// Which of all rows is that of the value at a path.
    pub(crate) fn row_at(&self, path: &str) -> Option<usize> {
        let TreeBody::Json(index) = &self.body else { return None };
        let (node, _) = self.find(index, path).pop()?;
        node.checked_sub(first_node(index)).map(|row| row as usize)
    }

    /// Which of all rows the row is that is seen with these folds at `row`.
    pub(crate) fn place_among_all(&self, folds: &Folds, row: usize) -> usize {
        match &self.body {
            TreeBody::Json(index) => {
                let node = self.layout(index, folds).node_of(u32::try_from(row).unwrap_or(u32::MAX));
                (node - first_node(index)) as usize
            }
            TreeBody::Text(_) => row,
        }
    }

    /// Opens what hides a row of all rows; returns where it is seen then.
    pub(crate) fn reveal(&self, folds: &mut Folds, row: usize) -> usize {
        let TreeBody::Json(index) = &self.body else { return row };
        let first = first_node(index);
        let node = (first + u32::try_from(row).unwrap_or(u32::MAX / 2)).min(index.len().saturating_sub(1));
        let open = Folds::new(usize::MAX);
        let mut child = node;
        while let Some((parent, _)) = index.parent_of(child) {
            child = index.container(parent).node;
            // The outermost is no row.
            let Some(at) = child.checked_sub(first) else { break };
            let rows = self.rows(&open, at as usize..at as usize + 1);
            let is_folded = |row: &&JsonRow| {
                is_open(usize::from(row.depth), folds.open_depth, row.in_string) == folds.toggled.contains(&row.path)
            };
            if let Some(path) = rows.first().filter(is_folded).map(|row| row.path.clone()) {
                folds.toggle(&path);
            }
        }
        self.layout(index, folds).row_of(node) as usize
    }

    /// The nodes at `path`, and whether each has a key; several where keys occur twice.
    fn find(&self, index: &Index, path: &str) -> Vec<(u32, bool)> {
        let Ok(path) = path.parse::<JsonPath<'_>>() else {
            return Vec::new();
        };
        let mut found = vec![(0, false)];
        for step in path.steps() {
            let containers: Vec<u32> = found.iter().filter_map(|(node, _)| index.container_at(*node)).collect();
            found.clear();
            for container in containers {
                let in_object = index.container(container).is_object();
                let here = index.children(container).filter(|child| match step {
                    PathStep::Key(key) => in_object && index.key(&self.raw, child.node) == *key,
                    PathStep::Index(ordinal) => !in_object && child.ordinal == *ordinal,
                });
                found.extend(here.map(|child| (child.node, in_object)));
            }
        }
        found
    }

    fn layout(&self, index: &Index, folds: &Folds) -> Arc<FoldLayout> {
        let mut cached = self.layout.lock();
        match &*cached {
            Some((of, layout)) if of == folds => layout.clone(),
            _ => {
                let toggled = folds.toggled.iter().flat_map(|path| self.find(index, path)).map(|(node, _)| node);
                let strings = self.in_strings.clone();
                let layout = Arc::new(FoldLayout::new(index, folds.open_depth, toggled.collect(), strings));
                *cached = Some((folds.clone(), layout.clone()));
                layout
            }
        }
    }

    fn line_bytes(&self, lines: &[u32], line: usize) -> &[u8] {
        let end = lines.get(line + 1).map_or(self.raw.len(), |next| *next as usize);
        let bytes = &self.raw[lines[line] as usize..end];
        let bytes = bytes.strip_suffix(b"\n").unwrap_or(bytes);
        bytes.strip_suffix(b"\r").unwrap_or(bytes)
    }

    fn text_line(&self, lines: &[u32], line: usize) -> Cow<'_, str> {
        String::from_utf8_lossy(self.line_bytes(lines, line))
    }

    fn text_row(&self, lines: &[u32], line: usize) -> JsonRow {
        let text = head_of(self.line_bytes(lines, line), LINE);
        JsonRow {
            depth: 0,
            path: ".".to_owned(),
            key: None,
            value: JsonCell::Text(text),
            foldable: false,
            folded: false,
            in_string: false,
        }
    }
}

/// The outermost container is no row.
fn first_node(index: &Index) -> u32 {
    u32::from(index.container_at(0).is_some())
}

fn line_starts(raw: &[u8]) -> Vec<u32> {
    let after_newlines = memchr::memchr_iter(b'\n', raw).map(|at| at + 1).filter(|at| *at < raw.len());
    // Beyond 4 GiB there are no lines to be told apart any more, only a very long last one.
    std::iter::once(0).chain(after_newlines).map_while(|at| u32::try_from(at).ok()).collect()
}
