//! What a layout is built from, and what comes out beside the tree.

use std::collections::{BTreeMap, HashMap};

use crate::install::lockfile::{DepPath, Lockfile};
use crate::name::{BinName, PackageName};
use crate::store::{Bin, PackageKey, PackageRecord};

use super::model::Layout;
pub use crate::install::select::IncludedGroups;

/// Everything that decides a layout. Building reads nothing else.
#[derive(Debug, Clone, Copy)]
pub struct LayoutInput<'a> {
    /// The lockfile. Importers that are not in it have no tree.
    pub lockfile: &'a Lockfile,
    /// The snapshots that are installed, with what the store knows of them. A snapshot that is not
    /// here (left out by platform, by group, or unreachable) has no instance, and no link leads to
    /// it.
    pub installed: &'a HashMap<DepPath, InstalledPackage>,
    /// The groups whose direct dependencies are linked.
    pub included: IncludedGroups,
    /// Manifests of directories: of every project, and of every other directory that a `link:`
    /// leads to. The key is the directory relative to the lockfile's, `.` for that itself (see
    /// [`linked_directories`](super::linked_directories)).
    pub manifests: &'a BTreeMap<Box<str>, ManifestFacts>,
    /// The settings.
    pub settings: &'a LayoutSettings,
}

/// A package of the store that is installed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstalledPackage {
    /// What the store knows it by.
    pub key: PackageKey,
    /// The store's row.
    pub record: PackageRecord,
}

/// What the layout needs of the manifest of a directory that is not in the store.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct ManifestFacts {
    /// `name`, where there is a valid one.
    pub name: Option<PackageName>,
    /// `version`.
    pub version: Option<Box<str>>,
    /// Its commands. A target need not exist yet.
    pub bins: Vec<Bin>,
}

/// `nodeLinker`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum NodeLinker {
    /// `isolated`: a virtual store and symlinks.
    #[default]
    Isolated,
    /// `hoisted`: a flat tree without symlinks.
    Hoisted,
}

/// `hoistingLimits` of the hoisted linker.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum HoistingLimits {
    /// `none`: as high as possible.
    #[default]
    None,
    /// `workspaces`: not out of the project that depends on it.
    Workspaces,
    /// `dependencies`: not out of the direct dependency that depends on it.
    Dependencies,
}

/// The settings that decide a layout, named as pnpm names them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LayoutSettings {
    /// `nodeLinker`.
    pub node_linker: NodeLinker,
    /// `hoistPattern`; `None` where `hoist` is `false`.
    pub hoist_pattern: Option<Vec<Box<str>>>,
    /// `publicHoistPattern`; `shamefullyHoist` is `["*"]`.
    pub public_hoist_pattern: Vec<Box<str>>,
    /// `hoistWorkspacePackages`.
    pub hoist_workspace_packages: bool,
    /// `hoistingLimits`.
    pub hoisting_limits: HoistingLimits,
    /// `dedupeDirectDeps`.
    pub dedupe_direct_deps: bool,
    /// `extendNodePath`, where commands are no symlinks (`preferSymlinkedExecutables`).
    pub extend_node_path: bool,
    /// `modulesDir`, relative to each project.
    pub modules_directory: Box<str>,
    /// `virtualStoreDirMaxLength`, in UTF-16 code units.
    pub virtual_store_dir_max_length: usize,
    /// `symlink`: the isolated linker links dependencies into projects and beside packages.
    pub symlink: bool,
    /// `virtualStoreOnly`: projects get no dependencies and no commands.
    pub virtual_store_only: bool,
}

impl Default for LayoutSettings {
    fn default() -> Self {
        Self {
            node_linker: NodeLinker::Isolated,
            hoist_pattern: Some(vec!["*".into()]),
            public_hoist_pattern: Vec::new(),
            hoist_workspace_packages: true,
            hoisting_limits: HoistingLimits::None,
            dedupe_direct_deps: false,
            extend_node_path: true,
            modules_directory: "node_modules".into(),
            virtual_store_dir_max_length: 120,
            symlink: true,
            virtual_store_only: false,
        }
    }
}

/// Where a dependency was hoisted to, as `.modules.yaml` names it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HoistKind {
    /// `private`: into `.pnpm/node_modules`.
    Private,
    /// `public`: into the root project's `node_modules`.
    Public,
}

/// One entry of `hoistedDependencies`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HoistedDependency {
    /// The depPath, or the importer id of a workspace package.
    pub id: Box<str>,
    /// Its aliases, in the order in which they were hoisted.
    pub aliases: Vec<(PackageName, HoistKind)>,
}

/// Something that a person should hear of, and that did not stop the layout.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LayoutWarning {
    /// Two packages offer the same command at one place; one was taken.
    BinConflict {
        /// The directory that holds the command, relative to the lockfile's directory.
        directory: Box<str>,
        /// The command.
        bin: BinName,
        /// The package whose command it is now.
        winner: Box<str>,
        /// The package whose command is not linked.
        loser: Box<str>,
    },
}

/// A layout and what is recorded of it.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct BuiltLayout {
    /// The tree.
    pub layout: Layout,
    /// `hoistedDependencies`, in pnpm's order.
    pub hoisted_dependencies: Vec<HoistedDependency>,
    /// `hoistedLocations` (hoisted linker only): depPath → directories relative to the
    /// lockfile's, in the order of the walk.
    pub hoisted_locations: BTreeMap<Box<str>, Vec<Box<str>>>,
    /// `injectedDeps`: importer id → directories of its instances, relative to the lockfile's.
    pub injected_dependencies: BTreeMap<Box<str>, Vec<Box<str>>>,
    /// What a person should hear of.
    pub warnings: Vec<LayoutWarning>,
}
