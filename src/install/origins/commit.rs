//! From a branch, tag, range or the beginning of a commit to the commit.

use std::collections::{BTreeSet, HashMap};

use super::error::OriginError;
use crate::install::git::GitProgram;
use crate::install::pick::{GitReference, GitSpecifier};
use crate::install::registry::printable_text;
use crate::install::semver::{Range, Version};

/// Digits of a whole commit.
const COMMIT_DIGITS: usize = 40;

/// Fewest digits that are taken for the beginning of a commit.
const COMMIT_DIGITS_MIN: usize = 7;

/// The commit that `specifier` means. Blocks; asks nothing where it names one in full.
pub(super) fn find(
    program: &GitProgram<'_>,
    specifier: &GitSpecifier,
) -> Result<Box<str>, OriginError> {
    let (name, only) = match &specifier.reference {
        GitReference::Head => ("HEAD", Some("HEAD")),
        GitReference::Name(name) if !is_commit(name) => (&**name, Some(&**name)),
        GitReference::Name(name) if name.len() == COMMIT_DIGITS => return Ok(name.clone()),
        GitReference::Name(name) => (&**name, None),
        GitReference::Range(range) => (&**range, None),
    };
    let listed = program.references(&specifier.url, only)?;
    let references: HashMap<&str, &str> = listed
        .iter()
        .map(|(commit, name)| (name.as_str(), commit.as_str()))
        .collect();
    let found = match &specifier.reference {
        GitReference::Range(range) => by_range(&references, range),
        _ => by_name(&references, name).ok_or_else(String::new),
    };
    let commit = found.map_err(|available| OriginError::Reference {
        wanted: name.to_owned(),
        repo: printable_text(&specifier.url),
        available,
    })?;
    if is_commit(name) && !commit.starts_with(name) {
        return Err(OriginError::Ambiguous {
            wanted: name.to_owned(),
            commit: commit.to_owned(),
        });
    }
    Ok(commit.into())
}

fn is_commit(text: &str) -> bool {
    (COMMIT_DIGITS_MIN..=COMMIT_DIGITS).contains(&text.len())
        && text
            .bytes()
            .all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn by_name<'r>(references: &HashMap<&str, &'r str>, name: &str) -> Option<&'r str> {
    let names = [
        name.to_owned(),
        format!("refs/{name}"),
        format!("refs/tags/{name}^{{}}"),
        format!("refs/tags/{name}"),
        format!("refs/heads/{name}"),
    ];
    let found = names.iter().find_map(|name| references.get(name.as_str()));
    if let Some(commit) = found {
        return Some(commit);
    }
    let beginning = |commit: &&&str| is_commit(name) && commit.starts_with(name);
    let commits: BTreeSet<&str> = references.values().filter(beginning).copied().collect();
    match commits.len() {
        1 => commits.into_iter().next(),
        _ => None,
    }
}

/// The commit of the highest tag of `range`; or a sentence about the tags that there are.
fn by_range<'r>(references: &HashMap<&str, &'r str>, range: &str) -> Result<&'r str, String> {
    let tags: BTreeSet<&str> = references
        .keys()
        .filter_map(|name| name.strip_prefix("refs/tags/"))
        .map(|tag| tag.strip_suffix("^{}").unwrap_or(tag))
        .filter(|tag| version(tag).is_some())
        .collect();
    let highest = Range::parse_loose(range).and_then(|range| {
        let versions = tags.iter().filter_map(|tag| Some((version(tag)?, *tag)));
        let fitting = versions.filter(|(version, _)| range.contains(version));
        fitting.max_by(|(left, _), (right, _)| left.cmp(right))
    });
    let commit = highest.and_then(|(_, tag)| {
        let annotated = references.get(format!("refs/tags/{tag}^{{}}").as_str());
        annotated.or_else(|| references.get(format!("refs/tags/{tag}").as_str()))
    });
    commit.copied().ok_or_else(|| {
        let tags: Vec<&str> = tags.iter().copied().collect();
        format!(" Available versions are: {}", tags.join(", "))
    })
}

fn version(tag: &str) -> Option<Version> {
    Version::parse_loose(tag)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: &str = "1111111111111111111111111111111111111111";
    const TWO: &str = "2222222222222222222222222222222222222222";
    const THREE: &str = "3333333333333333333333333333333333333333";

    fn references() -> HashMap<&'static str, &'static str> {
        HashMap::from([
            ("HEAD", ONE),
            ("refs/heads/main", ONE),
            ("refs/heads/both", ONE),
            ("refs/tags/both", TWO),
            ("refs/tags/v1.0.0", TWO),
            ("refs/tags/v1.1.0", TWO),
            ("refs/tags/v1.1.0^{}", THREE),
            ("refs/tags/v2.0.0-rc.1", ONE),
            ("refs/tags/nightly", ONE),
            ("refs/pull/1/head", THREE),
        ])
    }

    #[test]
    fn names_are_looked_up_as_git_does() {
        for (name, expected) in [
            ("HEAD", Some(ONE)),
            ("main", Some(ONE)),
            ("both", Some(TWO)),
            ("v1.1.0", Some(THREE)),
            ("heads/main", Some(ONE)),
            ("pull/1/head", Some(THREE)),
            ("2222222", Some(TWO)),
            ("222222", None),
            ("4444444", None),
            ("none", None),
        ] {
            assert_eq!(by_name(&references(), name), expected, "{name}");
        }
    }

    #[test]
    fn a_range_takes_the_highest_tag() {
        for (range, expected) in [
            ("^1.0.0", Ok(THREE)),
            ("1.0.0", Ok(TWO)),
            ("*", Ok(THREE)),
            ("^2.0.0-0", Ok(ONE)),
            (
                "^3",
                Err(" Available versions are: v1.0.0, v1.1.0, v2.0.0-rc.1"),
            ),
            (
                "no range",
                Err(" Available versions are: v1.0.0, v1.1.0, v2.0.0-rc.1"),
            ),
        ] {
            let found = by_range(&references(), range);
            assert_eq!(
                found.as_ref().map_err(String::as_str).copied(),
                expected,
                "{range}"
            );
        }
    }
}
