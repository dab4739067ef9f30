//! Values that many have alike, kept once.

use std::sync::{Arc, Weak};

use parking_lot::Mutex;

/// Values that lie together; the oldest goes when there is another.
const MOST: usize = 16;

/// The values that were shared last, for the next session with the same: thousands of sessions are of one client, with one server.
pub(crate) struct LatelyShared<T: ?Sized>(Mutex<Vec<Weak<T>>>);

impl<T: ?Sized + PartialEq> LatelyShared<T> {
    pub(crate) const fn new() -> Self {
        Self(Mutex::new(Vec::new()))
    }

    /// The value that is there already and says the same, or this one.
    pub(crate) fn share(&self, value: impl Into<Arc<T>> + AsRef<T>) -> Arc<T> {
        let mut known = self.0.lock();
        if let Some(same) = known.iter().filter_map(Weak::upgrade).find(|it| **it == *value.as_ref()) {
            return same;
        }
        let value = value.into();
        known.retain(|it| it.strong_count() > 0);
        if known.len() >= MOST {
            known.remove(0);
        }
        known.push(Arc::downgrade(&value));
        value
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lately_shared_keeps_one_of_what_is_alike_and_a_few_of_the_others() {
        let shared = LatelyShared::<str>::new();
        let first = shared.share("one");
        assert!(Arc::ptr_eq(&first, &shared.share("one")));
        let others: Vec<_> = (0..MOST).map(|number| shared.share(number.to_string())).collect();
        assert!(!Arc::ptr_eq(&first, &shared.share("one")), "it is long ago");
        assert!(Arc::ptr_eq(&others[MOST - 1], &shared.share((MOST - 1).to_string())));
        drop((first, others));
        shared.share("last");
        assert_eq!(shared.0.lock().len(), 1, "nobody has the others");
    }
}
