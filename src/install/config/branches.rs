//! Lockfiles of branches (`gitBranchLockfile`): one that is named after the branch of the
//! project's repository, and where that is not there, the one of all.

use std::path::{Path, PathBuf};

use super::environment::Environment;
use super::options::Options;
use super::resolved::Config;
use crate::install::layout::matches_name;

/// The file name of the lockfile.
pub const LOCKFILE_NAME: &str = "pnpm-lock.yaml";

/// The names of lockfiles of branches; none where there is one for all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct BranchLockfiles {
    /// Of the branch that is checked out.
    own: Option<String>,
    /// Where a commit is checked out: of the branches that have it.
    containing: Vec<String>,
    /// `mergeGitBranchLockfiles`: those of branches go into the one of all.
    are_merged: bool,
}

impl BranchLockfiles {
    /// Asks git what is checked out in `directory`, where that makes a difference. Where it cannot
    /// tell, there is one for all.
    pub(super) fn of(options: &Options, directory: &Path, environment: &Environment) -> Self {
        let patterns = options.merge_git_branch_lockfiles_branch_pattern.as_deref();
        let patterns = patterns.unwrap_or_default();
        let merges = options.merge_git_branch_lockfiles;
        let has_own = options.git_branch_lockfile == Some(true);
        let depends = merges.is_none() && !patterns.is_empty();
        if merges != Some(true) && !depends && !has_own {
            return Self::default();
        }
        let git = |arguments: &[&str]| git(directory, environment, arguments);
        let branch = git(&["symbolic-ref", "--short", "HEAD"]);
        let branch = branch.as_deref().map(str::trim);
        let branch = branch.filter(|branch| !branch.is_empty());
        let is_meant = |branch| {
            let patterns: Vec<Box<str>> =
                patterns.iter().map(|text| text.as_str().into()).collect();
            matches_name(&patterns, branch)
        };
        if merges == Some(true) || (depends && branch.is_some_and(is_meant)) {
            return Self {
                are_merged: true,
                ..Self::default()
            };
        }
        if !has_own {
            return Self::default();
        }
        if let Some(branch) = branch {
            return Self {
                own: Some(file_name(branch)),
                ..Self::default()
            };
        }
        let format = "--format=%(refname:lstrip=2)";
        let places = ["refs/heads", "refs/remotes"];
        let arguments = ["for-each-ref", "--contains=HEAD", format];
        let found = git(&[&arguments[..], &places[..1]].concat()).unwrap_or_default();
        let of_remotes = git(&[&arguments[..], &places[1..]].concat()).unwrap_or_default();
        let local = found.lines();
        let remote = of_remotes.lines().filter_map(|line| line.split_once('/'));
        let mut containing: Vec<String> = Vec::new();
        for branch in local.chain(remote.map(|(_, branch)| branch)) {
            let name = file_name(branch);
            if branch != "HEAD" && !containing.contains(&name) {
                containing.push(name);
            }
        }
        Self {
            containing,
            ..Self::default()
        }
    }

    /// Whether those of branches go into the one of all.
    pub fn are_merged(&self) -> bool {
        self.are_merged
    }

    /// Those of branches that are in `directory`, sorted.
    ///
    /// # Errors
    /// The directory cannot be read.
    pub fn all_in(directory: &Path) -> std::io::Result<Vec<PathBuf>> {
        let mut paths = Vec::new();
        for entry in std::fs::read_dir(directory)? {
            let entry = entry?;
            let name = entry.file_name();
            let name = name
                .to_str()
                .and_then(|name| name.strip_prefix("pnpm-lock."));
            let branch = name.and_then(|rest| rest.strip_suffix(".yaml"));
            if branch.is_some() && entry.file_type()?.is_file() {
                paths.push(entry.path());
            }
        }
        paths.sort();
        Ok(paths)
    }
}

impl Config {
    /// Where the lockfile is written.
    pub fn lockfile_path(&self) -> PathBuf {
        let own = self.lockfile.branches.own.as_deref();
        self.lockfile_directory.join(own.unwrap_or(LOCKFILE_NAME))
    }

    /// Where the lockfile is read.
    pub fn lockfile_to_read(&self) -> PathBuf {
        self.lockfile_in(&self.lockfile_directory, Path::exists)
    }

    /// Where the lockfile in `directory` is read, if the files of which `is_there` says so are
    /// there.
    pub fn lockfile_in(&self, directory: &Path, is_there: impl Fn(&Path) -> bool) -> PathBuf {
        let branches = &self.lockfile.branches;
        let names = branches.own.iter().chain(&branches.containing);
        let mut paths = names.map(|name| directory.join(name));
        let found = paths.find(|path| is_there(path));
        found.unwrap_or_else(|| directory.join(LOCKFILE_NAME))
    }
}

/// As pnpm names it: what can be in every file name, in small letters.
fn file_name(branch: &str) -> String {
    let letter = |letter: char| match letter {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '_' | '.' | '-' => letter.to_ascii_lowercase(),
        _ => '!',
    };
    let branch: String = branch.chars().map(letter).collect();
    format!("pnpm-lock.{branch}.yaml")
}

/// What git prints, if it succeeds.
fn git(directory: &Path, environment: &Environment, arguments: &[&str]) -> Option<String> {
    let output = crate::install::git::ask(directory, environment, arguments);
    let output = output.ok().filter(|output| output.status.success())?;
    String::from_utf8(output.stdout).ok()
}

#[cfg(test)]
mod tests {
    use super::file_name;

    #[test]
    fn the_name_of_a_branch_is_made_one_of_a_file() {
        for (branch, name) in [
            ("main", "pnpm-lock.main.yaml"),
            ("Feat/Foo_1.x-y", "pnpm-lock.feat!foo_1.x-y.yaml"),
            ("a@b é", "pnpm-lock.a!b!!.yaml"),
        ] {
            assert_eq!(file_name(branch), name);
        }
    }
}
