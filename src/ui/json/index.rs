//! Where the values of a JSON text are: four bytes for each value, twenty more for each container that has any.
//!
//! Nodes are values in the order of the text, so a container and all that is in it are one range of node numbers, and
//! folding hides a range. The text itself stays the only copy of keys and values.

use super::decode::decode;
use super::scan::{ScanFault, Scanner, TokenKind, member_value, string_end, value_end};

/// Containers below this depth are not looked into: they are too deep to read, and paths would grow without bound.
pub(crate) const MAX_DEPTH: usize = 1000;

/// Nodes and containers by number, in the order of the text.
pub(crate) struct Index {
    /// Where each value begins, or its key where it has one.
    nodes: Vec<u32>,
    /// The containers that are not empty, in the order in which they begin.
    containers: Vec<Container>,
}

#[derive(Clone, Copy, Debug)]
pub(crate) struct Container {
    pub(crate) node: u32,
    /// The first node after everything inside.
    pub(crate) next: u32,
    /// Number of the container around; that of the outermost is its own.
    pub(crate) parent: u32,
    /// Which element or member of `parent` it is.
    pub(crate) ordinal: u32,
    /// Number of elements or members, times two, plus one for an object.
    shape: u32,
}

impl Container {
    pub(crate) fn children(&self) -> usize {
        (self.shape >> 1) as usize
    }

    pub(crate) fn is_object(&self) -> bool {
        self.shape & 1 == 1
    }
}

/// A child of a container.
#[derive(Clone, Copy, Debug)]
pub(crate) struct IndexChild {
    pub(crate) node: u32,
    pub(crate) ordinal: usize,
}

impl Index {
    /// # Errors
    /// Where `raw` is not JSON, or too long to number.
    pub(crate) fn build(raw: &[u8]) -> Result<Self, ScanFault> {
        if u32::try_from(raw.len()).is_err() {
            return Err(ScanFault { at: 0, why: "too long".to_owned() });
        }
        let mut builder = IndexBuilder::default();
        let mut scanner = Scanner::new(raw);
        while let Some(token) = scanner.next()? {
            builder.push(token.kind, number(token.start));
        }
        let IndexBuilder { mut nodes, mut containers, .. } = builder;
        nodes.shrink_to_fit();
        containers.shrink_to_fit();
        Ok(Self { nodes, containers })
    }

    pub(crate) fn len(&self) -> u32 {
        number(self.nodes.len())
    }

    pub(crate) fn container(&self, number: u32) -> &Container {
        &self.containers[number as usize]
    }

    pub(crate) fn containers(&self) -> &[Container] {
        &self.containers
    }

    /// The number of the first container from node `node` on.
    pub(crate) fn container_from(&self, node: u32) -> u32 {
        number(self.containers.partition_point(|container| container.node < node))
    }

    /// The container that `node` is, where it is one that is not empty.
    pub(crate) fn container_at(&self, node: u32) -> Option<u32> {
        let found = self.container_from(node);
        (self.containers.get(found as usize)?.node == node).then_some(found)
    }

    /// The container around `node`, and which of its children the node is; `None` for the outermost.
    pub(crate) fn parent_of(&self, node: u32) -> Option<(u32, usize)> {
        let mut parent = self.container_from(node).checked_sub(1)?;
        let mut sibling: Option<&Container> = None;
        while self.container(parent).next <= node {
            sibling = Some(self.container(parent));
            parent = self.container(parent).parent;
        }
        // From the last container before it, there are only scalars to count.
        let ordinal = match sibling {
            Some(sibling) => sibling.ordinal + 1 + (node - sibling.next),
            None => node - self.container(parent).node - 1,
        };
        Some((parent, ordinal as usize))
    }

    pub(crate) fn children(&self, container: u32) -> impl Iterator<Item = IndexChild> + '_ {
        let Container { node, next, .. } = *self.container(container);
        let mut child = node + 1;
        let mut ahead = container + 1;
        let mut ordinal = 0;
        std::iter::from_fn(move || {
            if child >= next {
                return None;
            }
            let is_container = self.containers.get(ahead as usize).is_some_and(|it| it.node == child);
            let it = IndexChild { node: child, ordinal };
            child = if is_container { self.container(ahead).next } else { child + 1 };
            ahead = if is_container { self.container_from(child) } else { ahead };
            ordinal += 1;
            Some(it)
        })
    }

    /// Where the value of a node begins.
    pub(crate) fn value_start(&self, raw: &[u8], node: u32, in_object: bool) -> usize {
        let start = self.nodes[node as usize] as usize;
        if in_object { member_value(raw, start) } else { start }
    }

    /// The bytes of a node's value.
    pub(crate) fn token<'a>(&self, raw: &'a [u8], node: u32, in_object: bool) -> &'a [u8] {
        let start = self.value_start(raw, node, in_object);
        &raw[start..value_end(raw, start)]
    }

    /// The key of a node in an object.
    pub(crate) fn key(&self, raw: &[u8], node: u32) -> String {
        let start = self.nodes[node as usize] as usize;
        decode(&raw[start..string_end(raw, start)], usize::MAX)
    }
}

#[derive(Default)]
struct IndexBuilder {
    nodes: Vec<u32>,
    containers: Vec<Container>,
    /// Numbers of the containers around.
    open: Vec<u32>,
    /// How deep below [`MAX_DEPTH`].
    skipped: usize,
    /// Whether the next value belongs to a key, and so is a node already.
    keyed: bool,
}

impl IndexBuilder {
    fn push(&mut self, kind: TokenKind, start: u32) {
        match kind {
            TokenKind::OpenObject | TokenKind::OpenArray if self.skipped > 0 => self.skipped += 1,
            TokenKind::CloseObject | TokenKind::CloseArray if self.skipped > 0 => self.skipped -= 1,
            _ if self.skipped > 0 => {}
            TokenKind::CloseObject | TokenKind::CloseArray => self.close(),
            TokenKind::Key => {
                self.child(start);
                self.keyed = true;
            }
            TokenKind::Scalar => self.value(start),
            TokenKind::OpenObject | TokenKind::OpenArray => {
                self.value(start);
                if self.open.len() < MAX_DEPTH {
                    self.open(kind == TokenKind::OpenObject);
                } else {
                    self.skipped = 1;
                }
            }
        }
    }

    fn value(&mut self, start: u32) {
        if !std::mem::take(&mut self.keyed) {
            self.child(start);
        }
    }

    fn child(&mut self, start: u32) {
        if let Some(parent) = self.open.last() {
            self.containers[*parent as usize].shape += 2;
        }
        self.nodes.push(start);
    }

    fn open(&mut self, object: bool) {
        let this = number(self.containers.len());
        let parent = self.open.last().copied().unwrap_or(this);
        let ordinal = self.containers.get(parent as usize).map_or(0, |parent| number(parent.children()) - 1);
        let node = number(self.nodes.len() - 1);
        self.containers.push(Container { node, next: 0, parent, ordinal, shape: u32::from(object) });
        self.open.push(this);
    }

    fn close(&mut self) {
        let Some(this) = self.open.pop() else {
            return;
        };
        let next = number(self.nodes.len());
        let container = &mut self.containers[this as usize];
        container.next = next;
        // Nothing was numbered after an empty one, so it is the last.
        if container.children() == 0 {
            self.containers.pop();
        }
    }
}

fn number(count: usize) -> u32 {
    u32::try_from(count).expect("a text shorter than 4 GiB has fewer values")
}
