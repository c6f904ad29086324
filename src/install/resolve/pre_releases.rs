//! Ranges of peers, in which pre-releases count as what they come before or after, and in which a
//! bound that leaves a part out means all that begins with it: `<=24` has 24.0.6 in it, which the
//! parser of ranges takes for `<=24.0.0`.

use std::borrow::Cow;

use node_semver::{Range, Version};

/// Whether `range` has `version` in it.
pub(super) fn allows_pre_releases(range: &str, version: &Version) -> bool {
    let Some(points) = Points::of(version) else {
        return false;
    };
    range.split("||").any(|alternative| {
        let bounds = bounds(alternative);
        // What no parser reads allows nothing.
        let is_read = bounds.iter().any(|bound| bound.range.is_some());
        let mut bounds = bounds.iter();
        (alternative.trim().is_empty() || is_read) && bounds.all(|bound| bound.allows(&points))
    })
}

/// `range` with bounds that leave nothing out, for a parser that takes them by their letters.
pub(super) fn with_whole_bounds(range: &str) -> Cow<'_, str> {
    if !range.contains('<') {
        return range.into();
    }
    let alternatives = range.split("||").map(|alternative| {
        let joined = joined_operators(alternative);
        let words = joined.split_whitespace().map(|word| {
            let bound = upper_bound(word);
            bound.unwrap_or_else(|| word.to_owned())
        });
        words.collect::<Vec<String>>().join(" ")
    });
    alternatives.collect::<Vec<String>>().join(" || ").into()
}

/// A version as ranges that have nothing else in them: pre-releases are in no other range.
struct Points {
    exact: Range,
    /// What a pre-release comes before.
    release: Option<Range>,
}

impl Points {
    fn of(version: &Version) -> Option<Self> {
        let release = format!("{}.{}.{}", version.major, version.minor, version.patch);
        Some(Self {
            exact: Range::parse(version.to_string()).ok()?,
            release: version
                .is_prerelease()
                .then(|| Range::parse(release).ok())
                .flatten(),
        })
    }
}

/// One of the bounds that an alternative puts together.
struct Bound {
    /// `None`: unreadable, and without effect beside others.
    range: Option<Range>,
    /// The lowest version that it has in it is no part of its text, so pre-releases of that count.
    lowers: bool,
}

impl Bound {
    fn allows(&self, points: &Points) -> bool {
        let Some(range) = &self.range else {
            return true;
        };
        let release = points.release.as_ref().filter(|_| self.lowers);
        range.allows_any(&points.exact) || release.is_some_and(|release| range.allows_any(release))
    }
}

fn bounds(alternative: &str) -> Vec<Bound> {
    let joined = joined_operators(alternative);
    let words: Vec<&str> = joined.split_whitespace().collect();
    let mut bounds = Vec::with_capacity(words.len());
    let mut rest = words.as_slice();
    while let Some((word, after)) = rest.split_first() {
        let (text, lowers) = match after {
            ["-", end, left @ ..] => {
                rest = left;
                let has_pre_release = version_of(word).contains('-');
                (Cow::Owned(format!("{word} - {end}")), !has_pre_release)
            }
            _ => {
                rest = after;
                let bound = upper_bound(word).map_or(Cow::Borrowed(*word), Cow::Owned);
                (bound, leaves_out_a_part(word))
            }
        };
        bounds.push(Bound {
            range: Range::parse(text).ok(),
            lowers,
        });
    }
    bounds
}

/// `alternative` without white space between operators and versions.
fn joined_operators(alternative: &str) -> String {
    let mut joined = String::with_capacity(alternative.len());
    let mut is_after_operator = false;
    for character in alternative.chars() {
        if is_after_operator && character.is_ascii_whitespace() {
            continue;
        }
        is_after_operator = matches!(character, '<' | '>' | '=' | '~' | '^');
        joined.push(character);
    }
    joined
}

/// `<=24` and `<24.1`, as bounds by whole versions.
fn upper_bound(word: &str) -> Option<String> {
    let inclusive = word.strip_prefix("<=");
    let version = inclusive.or_else(|| word.strip_prefix('<'))?;
    let version = version.trim_start_matches('v');
    if version.contains(['-', '+']) {
        return None;
    }
    let step = u64::from(inclusive.is_some());
    let mut parts = version.split('.').map(|part| part.parse::<u64>().ok());
    let major = parts.next()??;
    match (parts.next().flatten(), parts.next().flatten()) {
        (Some(_), Some(_)) => None,
        (Some(minor), None) => Some(format!("<{major}.{}.0-0", minor.checked_add(step)?)),
        (None, _) => Some(format!("<{}.0.0-0", major.checked_add(step)?)),
    }
}

/// `18`, `18.x`, `^18.0`.
fn leaves_out_a_part(word: &str) -> bool {
    let numbers = version_of(word)
        .split(['-', '+'])
        .next()
        .unwrap_or_default();
    let parts: Vec<&str> = numbers.split('.').collect();
    parts.len() < 3
        || parts
            .iter()
            .any(|part| matches!(*part, "" | "x" | "X" | "*"))
}

fn version_of(word: &str) -> &str {
    word.trim_start_matches(['<', '>', '=', '~', '^', 'v'])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bounds_that_leave_a_part_out_have_all_of_it() {
        for (range, inside, outside) in [
            (">= 22 <= 24", "24.0.6", "25.0.0"),
            ("<=24", "24.9.9", "25.0.0-rc.1"),
            ("> 23 <= 24.0.x", "24.0.6", "24.1.0"),
            (">=22 <24", "23.9.0", "24.0.0"),
            ("<=24.0.0 || 26", "26.1.0", "24.0.6"),
            ("22 - 24", "24.0.6", "25.0.0"),
            ("^18.x", "18.0.0-rc.1", "19.0.0"),
            ("18 - 19", "18.0.0-rc.1", "20.0.0"),
            ("^18.0.0", "18.1.0-rc.1", "18.0.0-rc.1"),
            ("", "1.0.0-rc.1", ""),
            (">=1.0.0-0 <2.0.0", "1.5.0-rc.1", "2.0.0"),
        ] {
            let allows = |text: &str| {
                Version::parse(text).is_ok_and(|version| allows_pre_releases(range, &version))
            };
            assert!(allows(inside), "{range} {inside}");
            assert!(!allows(outside), "{range} {outside}");
        }
        for (range, whole) in [
            (">= 20 <= 22 || <5.1", ">=20 <23.0.0-0 || <5.1.0-0"),
            ("1 - 2", "1 - 2"),
            ("<1.2.3 || <2.0.0-rc.1", "<1.2.3 || <2.0.0-rc.1"),
        ] {
            assert_eq!(with_whole_bounds(range), whole);
        }
        let one = Version::parse("1.0.0").expect("a version");
        assert!(!allows_pre_releases("neither", &one));
    }
}
