//! Texts of versions, ranges and suffixes.
//!
//! Where the judge of a lockfile is another installer, versions are compared with the library that
//! it uses too, whatever that library's faults.

use super::pre_releases::with_whole_bounds;
use crate::name::hexadecimal;
use node_semver::{Range, Version};
use sha2::{Digest, Sha256};

/// How many hexadecimal digits a suffix has that would be too long.
const SUFFIX_HASH_DIGITS: usize = 32;

/// Whether version `left` is `right` or later; as texts where they are no versions.
pub(super) fn is_at_least(left: &str, right: &str) -> bool {
    match (Version::parse(left), Version::parse(right)) {
        (Ok(left), Ok(right)) => left >= right,
        _ => left >= right,
    }
}

/// The range that a peer's version is held against: of `workspace:^1` and `npm:a@^1` the range
/// alone; `*` for what has none.
pub(super) fn comparable_range(text: &str) -> String {
    if text.contains("||") {
        let parts: Vec<String> = text
            .split("||")
            .map(|part| comparable_range(part.trim()))
            .collect();
        return parts.join(" || ");
    }
    if is_peer_range(text) {
        return text.strip_prefix("workspace:").unwrap_or(text).to_owned();
    }
    let Some((_, body)) = text
        .split_once(':')
        .filter(|(scheme, _)| !scheme.is_empty())
    else {
        return "*".to_owned();
    };
    if Range::parse(body).is_ok() {
        return body.to_owned();
    }
    match body.rsplit_once('@') {
        Some((name, range)) if !name.is_empty() && Range::parse(range).is_ok() => range.to_owned(),
        _ => "*".to_owned(),
    }
}

/// Whether `text` may stand in `peerDependencies` as it is.
pub(super) fn is_peer_range(text: &str) -> bool {
    Range::parse(text).is_ok() || text.contains("workspace:") || text.contains("catalog:")
}

/// What all of `ranges` allow; `None` where that is nothing, or one is no range.
pub(super) fn intersection(ranges: &[&str]) -> Option<String> {
    let (first, rest) = ranges.split_first()?;
    let parsed = |range: &str| Range::parse(with_whole_bounds(range)).ok();
    let mut common = parsed(first)?;
    for range in rest {
        let both = common.intersect(&parsed(range)?)?;
        common = without_covered_alternatives(both);
    }
    Some(common.to_string())
}

/// Whether there can be a version that all of `ranges` allow.
pub fn have_common_version(ranges: &[&str]) -> bool {
    intersection(ranges).is_some()
}

/// Leaves out alternatives that another one covers: they multiply with every intersection.
fn without_covered_alternatives(range: Range) -> Range {
    let text = range.to_string();
    let alternatives: Vec<&str> = text.split("||").collect();
    let parsed: Option<Vec<Range>> = alternatives
        .iter()
        .map(|alternative| Range::parse(alternative).ok())
        .collect();
    let Some(parsed) = parsed.filter(|parsed| parsed.len() > 1) else {
        return range;
    };
    let is_covered = |at: usize| {
        parsed.iter().enumerate().any(|(other, wider)| {
            other != at
                && wider.allows_all(&parsed[at])
                && (other < at || !parsed[at].allows_all(wider))
        })
    };
    let kept: Vec<&str> = (0..parsed.len())
        .filter(|at| !is_covered(*at))
        .map(|at| alternatives[at])
        .collect();
    Range::parse(kept.join("||")).unwrap_or(range)
}

/// The suffix that `segments` make, in parentheses; a hash where it has more than `length_max`
/// bytes.
pub(super) fn peers_suffix(mut segments: Vec<String>, length_max: usize) -> String {
    segments.sort_unstable();
    let body = segments.join(")(");
    if body.len() <= length_max {
        return format!("({body})");
    }
    let mut text = hexadecimal(&Sha256::digest(body.as_bytes()));
    text.truncate(SUFFIX_HASH_DIGITS);
    format!("({text})")
}

/// A path after `link:` as it stands for a version in a suffix.
pub(super) fn link_as_version(path: &str) -> String {
    let mut out = String::with_capacity(path.len());
    for character in path.trim_start_matches('.').chars() {
        let is_plain = !character.is_control() && !"\"*+/:<>?\\|".contains(character);
        if is_plain {
            out.push(character);
        } else if !out.is_empty() && !out.ends_with('+') {
            out.push('+');
        }
    }
    let length = out.trim_end_matches(['+', '.']).len();
    if length > 0 {
        out.truncate(length);
        return out;
    }
    if path.is_empty() { out } else { "+".to_owned() }
}

/// The names of the peers in the suffix of a dependency path.
pub(super) fn suffix_names(path: &str) -> impl Iterator<Item = &str> {
    let start = suffix_start(path);
    let mut depth = 0_usize;
    let mut from = start;
    path[start..]
        .bytes()
        .enumerate()
        .filter_map(move |(offset, byte)| {
            let at = start + offset;
            match byte {
                b'(' => {
                    if depth == 0 {
                        from = at + 1;
                    }
                    depth += 1;
                    None
                }
                b')' => {
                    depth = depth.saturating_sub(1);
                    if depth > 0 {
                        return None;
                    }
                    let segment = &path[from..at];
                    let from = usize::from(segment.starts_with('@'));
                    let end = segment.get(from..)?.find('@')? + from;
                    (!segment.starts_with("patch_hash=")).then(|| &segment[..end])
                }
                _ => None,
            }
        })
}

/// Where the groups in parentheses at the end of `path` begin.
fn suffix_start(path: &str) -> usize {
    let bytes = path.as_bytes();
    let mut depth = 0_usize;
    for (at, byte) in bytes.iter().enumerate().rev() {
        match byte {
            b')' => depth += 1,
            b'(' if depth > 0 => depth -= 1,
            _ if depth == 0 => return at + 1,
            _ => {}
        }
    }
    bytes.len()
}

/// Whether a range has a version in it.
pub(super) fn satisfies_strictly(version: &str, range: &str) -> bool {
    match (Version::parse(version), Range::parse(range)) {
        (Ok(version), Ok(range)) => range.satisfies(&version),
        _ => false,
    }
}

/// The same, where a pre-release counts as the release that it comes before, too.
pub(super) fn satisfies(version: &str, range: &str) -> bool {
    let (Ok(version), Ok(range)) = (Version::parse(version), Range::parse(range)) else {
        return false;
    };
    range.satisfies(&version)
        || (version.is_prerelease()
            && range.satisfies(&Version::from((
                version.major,
                version.minor,
                version.patch,
            ))))
}

/// Name and range of `npm:name@range`.
pub fn of_alias(specifier: &str) -> Option<(&str, &str)> {
    let rest = specifier.strip_prefix("npm:")?;
    Some(match rest.rfind('@') {
        None | Some(0) => (rest, "*"),
        Some(at) => (&rest[..at], &rest[at + 1..]),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_a_suffix_are_those_of_its_outermost_groups() {
        for (path, names) in [
            ("a@1.0.0", &[][..]),
            ("a@1.0.0(b@1.0.0)", &["b"]),
            ("@s/a@1.0.0(@s/b@1.0.0(c@2.0.0))(d@1.0.0)", &["@s/b", "d"]),
        ] {
            assert_eq!(suffix_names(path).collect::<Vec<_>>(), names, "{path}");
        }
    }

    #[test]
    fn ranges_are_compared_without_their_protocol() {
        for (text, range) in [
            ("^1", "^1"),
            ("workspace:^1", "^1"),
            ("npm:a@^5", "^5"),
            ("work:5.x.x", "5.x.x"),
            ("https://host/a.tgz", "*"),
            ("work:^1 || work:^2", "^1 || ^2"),
        ] {
            assert_eq!(comparable_range(text), range, "{text}");
        }
    }

    #[test]
    fn links_stand_for_versions() {
        for (path, version) in [
            ("../b", "b"),
            ("packages/b", "packages+b"),
            ("..", "+"),
            ("", ""),
        ] {
            assert_eq!(link_as_version(path), version, "{path}");
        }
    }
}
