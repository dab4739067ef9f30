//! Branches: sessions that began as a recorded one did. Rewinds: sessions that go on from an earlier message of their own.

use std::collections::HashMap;
use std::path::PathBuf;

use serde::{Deserialize, Serialize};

use crate::envelope::{Seq, SessionId};

/// Where a branch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TapeParent {
    pub session: SessionId,
    /// The last message that both have.
    pub seq: Seq,
}

/// A branch that is asked for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ForkRequest {
    pub tape: PathBuf,
    /// The session whose number of the message this is; `None` where it is the one on the tape.
    pub session: Option<SessionId>,
    /// The last message that both have.
    pub until: Seq,
}

/// A live session that is to be taken back behind its client.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RewindRequest {
    pub session: SessionId,
    /// The last message that a fresh server is told again.
    pub until: Seq,
}

/// A branch that was made: its session is open, for the operator or a client.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BranchedSession {
    pub session: SessionId,
    pub parent: TapeParent,
    /// Replies that were not as on the tape.
    pub differing: usize,
}

/// Places in a list of tapes in the order of a tree, each branch below the tape that it left, and how deep each stands. Of each tape
/// its session and its parent are given. One whose parent is not listed stands at the top, where all keep the order they came in.
pub fn branch_order(tapes: &[(Option<SessionId>, Option<TapeParent>)]) -> Vec<(usize, usize)> {
    let mut places = HashMap::new();
    for (place, session) in tapes.iter().enumerate().filter_map(|(place, (session, _))| Some((place, (*session)?))) {
        places.entry(session).or_insert(place);
    }
    let parent_of = |place: usize| {
        let parent = places.get(&tapes[place].1?.session).copied()?;
        (parent != place).then_some(parent)
    };
    let mut children: HashMap<usize, Vec<usize>> = HashMap::new();
    for place in 0..tapes.len() {
        if let Some(parent) = parent_of(place) {
            children.entry(parent).or_default().push(place);
        }
    }
    let (mut order, mut is_placed) = (Vec::new(), vec![false; tapes.len()]);
    // Headers that were written by hand may name each other: of such, the first that came stands at the top, below all others.
    for top in (0..tapes.len()).filter(|place| parent_of(*place).is_none()).chain(0..tapes.len()) {
        let mut next = vec![(top, 0)];
        while let Some((place, depth)) = next.pop() {
            if !std::mem::replace(&mut is_placed[place], true) {
                order.push((place, depth));
                let below = children.get(&place).into_iter().flatten().rev();
                next.extend(below.map(|child| (*child, depth + 1)));
            }
        }
    }
    order
}

#[cfg(test)]
mod tests {
    use super::*;

    fn order(tapes: &[(u128, Option<u128>)]) -> String {
        let id = |id: u128| SessionId(uuid::Uuid::from_u128(id));
        let parent = |parent: u128| TapeParent { session: id(parent), seq: Seq(3) };
        let list: Vec<_> = tapes.iter().map(|(own, of)| (Some(id(*own)), of.map(parent))).collect();
        let lines = branch_order(&list).into_iter().map(|(place, depth)| format!("{depth}/{}", tapes[place].0));
        lines.collect::<Vec<_>>().join(" ")
    }

    #[test]
    fn branch_order_has_branches_below_their_parents_in_the_order_they_came() {
        assert_eq!(order(&[(4, Some(2)), (3, Some(1)), (2, Some(1)), (9, None), (1, None)]), "0/9 0/1 1/3 1/2 2/4");
    }

    #[test]
    fn branch_order_has_every_tape_once_whatever_its_header_says() {
        assert_eq!(order(&[(2, Some(7)), (1, None)]), "0/2 0/1", "a parent that is not there");
        assert_eq!(order(&[(1, Some(2)), (2, Some(1)), (3, Some(3))]), "0/3 0/1 1/2", "parents of each other");
        assert_eq!(order(&[(1, None), (1, None), (5, Some(1))]), "0/1 1/5 0/1", "two copies");
    }
}
