//! Listings that show the walker chosen names of a directory, and nothing else.
//!
//! A question for one name is a message, and a listing of all names makes the kernel know those
//! that nobody will ask for, which costs it more than the message. So the walker reads a directory
//! from an offset that no listing has, which stands for the names it wants: one message makes all
//! of them known, or renews what the kernel knows of them.
//!
//! The kernel keeps a listing for later only when it was read from the beginning
//! (`fuse_add_dirent_to_cache` in `fs/fuse/readdir.c`), so nobody else is shown what was chosen
//! here.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// Offsets from here on stand for chosen names; those of what was written lie higher
/// (`UPPER_COOKIES`), those of what is installed are numbers of entries.
///
/// ```text
/// bit 61   bits 20..52   bits 0..20
/// 1        number        names that were shown already
/// ```
const SELECTED: u64 = 1 << 61;

const NUMBER_SHIFT: u32 = 20;

/// Names of one selection.
pub(super) const NAMES_MAX: usize = (1 << NUMBER_SHIFT) - 1;

/// Names that were chosen.
type Names = Arc<[Box<str>]>;

/// What was chosen, and is not done with.
#[derive(Default)]
pub(in crate::fs) struct Selections {
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    next: u32,
    chosen: HashMap<u32, Names>,
}

impl Selections {
    /// Chooses names, of which there are at most [`NAMES_MAX`].
    pub(super) fn choose(this: &Arc<Self>, names: Names) -> Selection {
        let mut state = this.lock();
        let number = state.next;
        state.next = number.wrapping_add(1);
        state.chosen.insert(number, names);
        Selection {
            selections: Arc::clone(this),
            number,
        }
    }

    /// What a listing that goes on at `offset` shows: names with the offset after each. `None`
    /// where the offset is one of an ordinary listing.
    pub(in crate::fs) fn at(&self, offset: u64) -> Option<Vec<(Box<str>, u64)>> {
        if offset & !(SELECTED - 1) != SELECTED {
            return None;
        }
        let chosen = self.lock().chosen.get(&number(offset)).cloned();
        let shown = offset as usize & NAMES_MAX;
        let names = chosen.iter().flat_map(|names| names.iter()).skip(shown);
        Some(names.cloned().zip(offset + 1..).collect())
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Names that can be shown until this is dropped.
pub(super) struct Selection {
    selections: Arc<Selections>,
    number: u32,
}

impl Selection {
    /// Stands for the names.
    pub(super) fn offset(&self) -> u64 {
        SELECTED | u64::from(self.number) << NUMBER_SHIFT
    }
}

impl Drop for Selection {
    fn drop(&mut self) {
        self.selections.lock().chosen.remove(&self.number);
    }
}

fn number(offset: u64) -> u32 {
    (offset >> NUMBER_SHIFT & u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fs::upper::UPPER_COOKIES;

    #[test]
    fn an_offset_stands_for_chosen_names_until_they_are_dropped() {
        let selections = Arc::new(Selections::default());
        let other = Selections::choose(&selections, ["x".into()].into());
        let selection = Selections::choose(&selections, ["a".into(), "b".into()].into());
        let offset = selection.offset();
        let shown = selections.at(offset).unwrap();
        assert_eq!(shown, [("a".into(), offset + 1), ("b".into(), offset + 2)]);
        assert_eq!(selections.at(shown[0].1).unwrap(), shown[1..]);
        assert_eq!(selections.at(shown[1].1), Some(Vec::new()));
        drop(selection);
        assert_eq!(selections.at(offset), Some(Vec::new()));
        assert_eq!(selections.at(other.offset()).unwrap().len(), 1);
    }

    #[test]
    fn offsets_of_other_listings_are_not_its_own() {
        let selections = Arc::new(Selections::default());
        let selection = Selections::choose(&selections, ["a".into()].into());
        for other in [0, 7, UPPER_COOKIES, u64::MAX, 1 << 62 | selection.offset()] {
            assert_eq!(selections.at(other), None);
        }
    }
}
