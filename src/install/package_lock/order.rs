//! The order in which npm takes names: that of a dictionary, in which case and punctuation count
//! last and first.

use std::cmp::Ordering;

/// The punctuation that names may have, in the order of the Unicode collation of English.
const PUNCTUATION: &str = "_-!.'()@*/~";

/// Compares names or paths as npm does.
pub fn compare_names(left: &str, right: &str) -> Ordering {
    let primary = |text: &str| text.chars().map(rank).collect::<Vec<_>>();
    primary(left)
        .cmp(&primary(right))
        // Where only case differs, small letters come first.
        .then_with(|| right.cmp(left))
}

fn rank(letter: char) -> (usize, char) {
    match PUNCTUATION.chars().position(|known| known == letter) {
        Some(place) => (place, ' '),
        None => (PUNCTUATION.len(), letter.to_ascii_lowercase()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_in_the_order_of_a_dictionary() {
        let sorted = [
            "_a", "-a", "@s/a", "1a", "a", "A", "a_b", "a-b", "a.b", "a1", "ab", "b",
        ];
        for pair in sorted.windows(2) {
            assert_eq!(compare_names(pair[0], pair[1]), Ordering::Less, "{pair:?}");
        }
    }
}
