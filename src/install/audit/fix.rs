//! Overrides that put patched versions in the place of vulnerable ones.

use std::collections::BTreeMap;

use super::report::Advisory;
use crate::install::semver::{Range, Version};

/// `name@range` of what is vulnerable, and what to use for it, with `prefix` in front of the lowest
/// version that is not. An advisory that another one of its package covers adds nothing.
pub fn overrides(advisories: &[Advisory], prefix: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (place, advisory) in advisories.iter().enumerate() {
        let Some(range) = advisory.patched.range() else {
            continue;
        };
        let covers = |(other_place, other): (usize, &Advisory)| {
            other_place != place && is_covered((advisory, place), (other, other_place))
        };
        if advisories.iter().enumerate().any(covers) {
            continue;
        }
        let key = format!("{}@{}", advisory.name, advisory.vulnerable);
        let value = match lowest(range) {
            Some(version) => format!("{prefix}{version}"),
            None => range.to_owned(),
        };
        found.insert(key, value);
    }
    found
}

/// The version in `>=version`.
fn lowest(range: &str) -> Option<Version> {
    Version::parse(range.strip_prefix(">=")?)
}

/// Whether what mends `other` mends `one` too.
fn is_covered(one: (&Advisory, usize), other: (&Advisory, usize)) -> bool {
    let ((one, one_place), (other, other_place)) = (one, other);
    if one.name != other.name {
        return false;
    }
    let parsed = |advisory: &Advisory| {
        let lowest = advisory.patched.range().and_then(lowest)?;
        Some((Range::parse(&advisory.vulnerable)?, lowest))
    };
    let (Some((range, mended)), Some((other_range, other_mended))) = (parsed(one), parsed(other))
    else {
        return false;
    };
    if !range.is_subset_of(&other_range) || other_mended < mended {
        return false;
    }
    if !other_range.is_subset_of(&range) {
        return true;
    }
    match other_mended.cmp(&mended) {
        std::cmp::Ordering::Equal => one_place > other_place,
        order => order.is_gt(),
    }
}
