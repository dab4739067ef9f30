//! Moving in a list of any kind.

/// A step of the cursor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Motion {
    Down,
    Up,
    PageDown,
    PageUp,
    HalfDown,
    HalfUp,
    Top,
    End,
}

impl Motion {
    /// The new position of a cursor in a list of `len` rows, of which `height` are on the screen.
    pub(crate) fn from(self, position: usize, len: usize, height: usize) -> usize {
        let last = len.saturating_sub(1);
        let page = height.saturating_sub(1).max(1);
        let to = match self {
            Self::Down => position.saturating_add(1),
            Self::Up => position.saturating_sub(1),
            Self::PageDown => position.saturating_add(page),
            Self::PageUp => position.saturating_sub(page),
            Self::HalfDown => position.saturating_add((page / 2).max(1)),
            Self::HalfUp => position.saturating_sub((page / 2).max(1)),
            Self::Top => 0,
            Self::End => last,
        };
        to.min(last)
    }
}

/// The first row of a window of this height in which the cursor is seen, moved as little as can be.
pub(crate) fn window(top: usize, position: usize, len: usize, height: usize) -> usize {
    let top = top.min(len.saturating_sub(height));
    if position < top { position } else { top.max((position + 1).saturating_sub(height.max(1))) }
}

/// A place in a plain list.
#[derive(Default)]
pub(crate) struct ListCursor {
    pub(crate) cursor: usize,
    pub(crate) top: usize,
    pub(crate) height: usize,
}

impl ListCursor {
    pub(crate) fn go(&mut self, motion: Motion, len: usize) {
        self.cursor = motion.from(self.cursor, len, self.height);
    }

    pub(crate) fn frame(&mut self, len: usize, height: usize) {
        self.height = height;
        self.cursor = self.cursor.min(len.saturating_sub(1));
        self.top = window(self.top, self.cursor, len, height);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cursor_stays_in_its_list_and_its_window() {
        assert_eq!(Motion::Down.from(9, 10, 5), 9);
        assert_eq!(Motion::PageDown.from(0, 10, 5), 4);
        assert_eq!(Motion::HalfUp.from(1, 10, 5), 0);
        assert_eq!(Motion::End.from(3, 0, 5), 0);
        assert_eq!(window(0, 7, 10, 5), 3);
        assert_eq!(window(5, 2, 10, 5), 2);
        assert_eq!(window(8, 9, 10, 5), 5, "no empty rows below the last");
        assert_eq!(window(3, 0, 0, 0), 0);
    }
}
