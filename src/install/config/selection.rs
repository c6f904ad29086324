//! Which projects of a workspace a command is about, as far as settings decide it.

use super::options::Options;

/// Which projects of a workspace a command is about, as far as settings decide it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SelectionConfig {
    /// `recursiveInstall`: an install is about all projects, wherever it is called.
    pub installs_all: bool,
    /// `ignoreWorkspaceRootCheck`: dependencies are added to the root without `-w`.
    pub adds_to_root: bool,
    /// `disallowWorkspaceCycles`.
    pub disallows_cycles: bool,
    /// `ignoreWorkspaceCycles`.
    pub ignores_cycles: bool,
    /// `includeWorkspaceRoot`.
    pub includes_root: bool,
    /// `failIfNoMatch`.
    pub fails_without_match: bool,
    /// `testPattern`.
    pub test_patterns: Vec<String>,
    /// `changedFilesIgnorePattern`.
    pub ignored_patterns: Vec<String>,
}

pub(super) fn selection(options: &Options) -> SelectionConfig {
    SelectionConfig {
        installs_all: options.recursive_install.unwrap_or(true),
        adds_to_root: options.ignore_workspace_root_check.unwrap_or(false),
        disallows_cycles: options.disallow_workspace_cycles.unwrap_or(false),
        ignores_cycles: options.ignore_workspace_cycles.unwrap_or(false),
        includes_root: options.include_workspace_root.unwrap_or(false),
        fails_without_match: options.fail_if_no_match.unwrap_or(false),
        test_patterns: options.test_pattern.clone().unwrap_or_default(),
        ignored_patterns: options
            .changed_files_ignore_pattern
            .clone()
            .unwrap_or_default(),
    }
}
