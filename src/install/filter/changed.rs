//! The projects that git says have changed.

use std::path::{Path, PathBuf};

use globset::{GlobBuilder, GlobSet, GlobSetBuilder};

use super::FilterError;
use crate::install::config::Environment;
use crate::install::workspace::Project;

/// Which changes count.
#[derive(Debug, Clone, Copy)]
pub struct ChangeRules<'a> {
    /// `testPattern`: what changed nothing else does not concern the dependents.
    pub test_patterns: &'a [String],
    /// `changedFilesIgnorePattern`.
    pub ignored_patterns: &'a [String],
}

/// Projects that have changed, by their places.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Changed {
    /// In more than their tests.
    pub(super) in_source: Vec<usize>,
    /// In their tests alone.
    pub(super) in_tests: Vec<usize>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Change {
    None,
    Tests,
    Source,
}

/// Asks git in `directory` what changed below it since `revision`. A file belongs to the nearest
/// project above it.
pub(super) fn changed_since(
    revision: &str,
    directory: &Path,
    projects: &[Project],
    rules: ChangeRules<'_>,
    environment: &Environment,
) -> Result<Changed, FilterError> {
    let top = git(directory, environment, &["rev-parse", "--show-toplevel"])?;
    let top = PathBuf::from(one_line(&top));
    // The revision must not be taken for an option.
    let list = git(
        directory,
        environment,
        &[
            "diff",
            "--name-only",
            "-z",
            "--end-of-options",
            revision,
            "--",
            ".",
        ],
    )?;
    let ignored = globs(rules.ignored_patterns)?;
    let tests = globs(rules.test_patterns)?;
    let mut changes = vec![Change::None; projects.len()];
    for file in list.split('\0').filter(|file| !file.is_empty()) {
        if ignored.is_match(file) {
            continue;
        }
        let change = match tests.is_match(file) {
            true => Change::Tests,
            false => Change::Source,
        };
        let path = top.join(file);
        let above = path.ancestors().skip(1);
        let owner = above
            .filter_map(|parent| projects.iter().position(|one| one.directory == parent))
            .next();
        if let Some(owner) = owner {
            changes[owner] = changes[owner].max(change);
        }
    }
    let of = |wanted: Change| {
        let places = changes.iter().enumerate();
        places
            .filter(|(_, change)| **change == wanted)
            .map(|(place, _)| place)
            .collect()
    };
    Ok(Changed {
        in_source: of(Change::Source),
        in_tests: of(Change::Tests),
    })
}

fn git(
    directory: &Path,
    environment: &Environment,
    arguments: &[&str],
) -> Result<String, FilterError> {
    let output = crate::install::git::ask(directory, environment, arguments)
        .map_err(|source| FilterError::Git { source })?;
    if !output.status.success() {
        let text = String::from_utf8_lossy(&output.stderr);
        return Err(FilterError::Changed {
            reason: one_line(&text).to_owned(),
        });
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The first line: of a failure git's manual may follow.
fn one_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

fn globs(patterns: &[String]) -> Result<GlobSet, FilterError> {
    let wrong = |pattern: &str, error: &globset::Error| FilterError::Pattern {
        pattern: pattern.to_owned(),
        reason: error.kind().to_string(),
    };
    let mut set = GlobSetBuilder::new();
    for pattern in patterns.iter().filter(|pattern| !pattern.is_empty()) {
        let glob = GlobBuilder::new(pattern)
            .literal_separator(true)
            .build()
            .map_err(|error| wrong(pattern, &error))?;
        set.add(glob);
    }
    set.build().map_err(|error| wrong("", &error))
}
