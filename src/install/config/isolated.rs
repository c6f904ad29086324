//! A directory beside every project, into which something is installed.

use std::path::{Path, PathBuf};

use super::branches::BranchLockfiles;
use super::packages::ConfigPackages;
use super::resolved::Config;
use super::value::{AllowBuilds, VirtualMode};

impl Config {
    /// What a project decides about its own packages is nothing to `directory`.
    pub fn isolate(&mut self, directory: &Path) {
        self.directory = directory.to_owned();
        self.lockfile_directory = directory.to_owned();
        self.workspace_root = None;
        self.package_globs = None;
        self.modules_directory = PathBuf::from("node_modules");
        self.virtual_mode = VirtualMode::Off;
        self.packages = ConfigPackages::default();
        self.lockfile.branches = BranchLockfiles::default();
        self.lockfile.frozen = None;
        self.lockfile.enabled = true;
        self.graph.overrides.clear();
        self.graph.package_extensions.clear();
        self.graph.patched_dependencies.clear();
        self.graph.catalogs.clear();
        self.graph.ignored_optional_dependencies.clear();
        self.builds.allow_builds = AllowBuilds::default();
        self.builds.strict = false;
    }
}
