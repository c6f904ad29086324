//! What can go wrong between a project and its layout.

use std::path::PathBuf;

use super::patches::PatchFileError;
use super::policies::Violation;
use crate::diagnostic::Diagnostic;
use crate::install::builds::BuildError;
use crate::install::config::{ConfigError, PNPM_VERSION};
use crate::install::git::{GitError, PackListError, PrepareError};
use crate::install::layout::LayoutError;
use crate::install::lockfile::{FrozenError, LockfileError};
use crate::install::manifest::ManifestError;
use crate::install::metadata::MetadataError;
use crate::install::package_lock::PackageLockError;
use crate::install::pick::PatternError;
use crate::install::pnpmfile::PnpmfileError;
use crate::install::registry::FetchError;
use crate::install::runtime::MORE_THREADS;
use crate::install::select::SelectError;
use crate::install::workspace::WorkspaceError;
use crate::name::escaped;
use crate::store::StoreError;

/// Why a locked project could not be installed.
#[derive(Debug, thiserror::Error)]
pub enum InstallError {
    /// Configuration.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The scripts of packages.
    #[error(transparent)]
    Build(#[from] BuildError),
    /// The hooks of a pnpmfile.
    #[error(transparent)]
    Pnpmfile(#[from] PnpmfileError),
    /// The workspace.
    #[error(transparent)]
    Workspace(#[from] WorkspaceError),
    /// A manifest.
    #[error(transparent)]
    Manifest(#[from] ManifestError),
    /// There is no lockfile.
    #[error("There is no lockfile {}", path.display())]
    NoLockfile {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// A merge left its markers in the lockfile.
    #[error("{} has the markers of a merge in it", path.display())]
    Conflict {
        /// The lockfile.
        path: PathBuf,
    },
    /// The lockfile cannot be read from disk.
    #[error("Cannot read the lockfile {}", path.display())]
    ReadLockfile {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// The lockfile is wrong or does not fit.
    #[error(transparent)]
    Lockfile(#[from] LockfileError),
    /// The lockfile does not fit manifests and settings.
    #[error(transparent)]
    Frozen(#[from] FrozenError),
    /// A lockfile of npm.
    #[error(transparent)]
    PackageLock(#[from] PackageLockError),
    /// A command that changes the lockfile, where that is one of npm.
    #[error("The project is locked by {}, which only npm changes", path.display())]
    LockedByNpm {
        /// The lockfile.
        path: PathBuf,
    },
    /// Nothing can be selected.
    #[error(transparent)]
    Select(#[from] SelectError),
    /// The layout.
    #[error(transparent)]
    Layout(#[from] LayoutError),
    /// The git program.
    #[error(transparent)]
    Git(#[from] GitError),
    /// A package could not be built from its sources.
    #[error(transparent)]
    Prepare(#[from] PrepareError),
    /// What of a directory is packed.
    #[error(transparent)]
    PackList(#[from] PackListError),
    /// A patch file.
    #[error(transparent)]
    Patch(#[from] PatchFileError),
    /// The lockfile names a patch that the configuration does not have.
    #[error(
        "The lockfile wants {} patched, and patchedDependencies has no such patch",
        escaped(package)
    )]
    PatchMissing {
        /// The depPath.
        package: String,
    },
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The store refuses a package, or cannot keep it.
    #[error("Cannot store {}", escaped(package))]
    Package {
        /// `name@version` or the address.
        package: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The network.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// Nothing may be fetched, and these packages are not in the store.
    #[error("{} of the packages are not in the store: {}", missing.len(), listed(missing))]
    NotInStore {
        /// Which, sorted.
        missing: Vec<String>,
        /// Whether `--offline` forbade it.
        offline: bool,
    },
    /// A local archive or directory of the lockfile cannot be read.
    #[error("Cannot read {} of {}", path.display(), escaped(package))]
    Local {
        /// Which package.
        package: String,
        /// What.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
    /// Archives of registries that the lockfile has at other addresses.
    #[error(
        "The lockfile has addresses that are not those of registries: {}",
        listed(refuted)
    )]
    Addresses {
        /// What is wrong with each, sorted.
        refuted: Vec<String>,
    },
    /// Packages that policies about them refuse.
    #[error(
        "{} lockfile entries failed verification:\n  {}",
        violations.len(),
        violations_text(violations)
    )]
    Policies {
        /// What is wrong, sorted by package.
        violations: Vec<Violation>,
    },
    /// A project needs another Node.
    #[error(
        "{} needs Node {}, and this is {}",
        directory.display(),
        escaped(wanted),
        escaped(current)
    )]
    Engine {
        /// The project.
        directory: PathBuf,
        /// `engines.node`.
        wanted: Box<str>,
        /// The version that there is.
        current: String,
    },
    /// A project needs another version of pnpm.
    #[error(
        "{} needs pnpm {}, and this program does the work of {PNPM_VERSION}",
        directory.display(),
        escaped(wanted)
    )]
    PnpmEngine {
        /// The project.
        directory: PathBuf,
        /// `engines.pnpm`.
        wanted: Box<str>,
    },
    /// A pattern of `minimumReleaseAgeExclude` or `trustPolicyExclude`.
    #[error(transparent)]
    Pattern(#[from] PatternError),
    /// What a registry says of a package cannot be had.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// Nothing can be asked of the network.
    #[error("Cannot use the network")]
    Runtime(#[source] std::io::Error),
    /// A kind of package that is not installed by this program.
    #[error(
        "{} is of a kind that pacquet does not install ({})",
        escaped(package),
        escaped(kind)
    )]
    Unsupported {
        /// Which.
        package: String,
        /// The resolution's `type`.
        kind: String,
    },
    /// A registry package without a version.
    #[error("The lockfile gives no version for {}", escaped(package))]
    NoVersion {
        /// Which.
        package: String,
    },
    /// A directory of this program cannot be used.
    #[error("Cannot use {}", path.display())]
    Directory {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: std::io::Error,
    },
}

/// The first few, and how many more.
fn listed(names: &[String]) -> String {
    const SHOWN: usize = 8;
    let shown: Vec<String> = names.iter().take(SHOWN).map(|name| escaped(name)).collect();
    let mut text = shown.join(", ");
    if names.len() > SHOWN {
        text.push_str(&format!(" and {} more", names.len() - SHOWN));
    }
    text
}

/// Whether that is what runtimes are of.
fn is_runtime(kind: &str) -> bool {
    kind.starts_with("variations") || kind.starts_with("binary")
}

/// The code of errors that are all of one kind.
fn common_code(violations: &[Violation]) -> Option<&'static str> {
    let first = violations.first()?.code;
    let is_common = violations.iter().all(|violation| violation.code == first);
    is_common.then_some(first)
}

/// A line each, with the kind where they are of several.
fn violations_text(violations: &[Violation]) -> String {
    let is_common = common_code(violations).is_some();
    let line = |violation: &Violation| {
        let Violation { id, code, reason } = violation;
        let kind = code.trim_start_matches("ERR_PNPM_");
        match is_common {
            true => format!("{} {reason}", escaped(id)),
            false => format!("{} [{kind}] {reason}", escaped(id)),
        }
    };
    let lines: Vec<String> = violations.iter().map(line).collect();
    lines.join("\n  ")
}

/// What to do about packages that a policy refuses.
const ABOUT_POLICIES: &str = "find out how they came into the lockfile. Where they are wanted, put \
    them into minimumReleaseAgeExclude or trustPolicyExclude of pnpm-workspace.yaml; where they \
    are not, remove the lockfile and have it made again. --trust-lockfile takes it as it is";

impl Diagnostic for InstallError {
    fn code(&self) -> &'static str {
        match self {
            Self::Config(error) => error.code(),
            Self::Build(error) => error.code(),
            Self::Workspace(error) => error.code(),
            Self::Pnpmfile(error) => error.code(),
            Self::Manifest(error) => error.code(),
            Self::NoLockfile { .. } => "ERR_PNPM_NO_LOCKFILE",
            Self::Conflict { .. } => "ERR_PNPM_BROKEN_LOCKFILE",
            Self::ReadLockfile { .. } => "ERR_PNPM_LOCKFILE_READ_FILE",
            Self::Lockfile(error) => error.code(),
            Self::Frozen(error) => error.code(),
            Self::PackageLock(error) => error.code(),
            Self::LockedByNpm { .. } => "ERR_PACQUET_LOCKED_BY_NPM",
            Self::Select(error) => error.code(),
            Self::Layout(error) => error.code(),
            Self::Patch(error) => error.code(),
            Self::Git(error) => error.code(),
            Self::PackList(error) => error.code(),
            Self::Prepare(error) => error.code(),
            Self::PatchMissing { .. } => "ERR_PNPM_LOCKFILE_CONFIG_MISMATCH",
            Self::Store(error) | Self::Package { source: error, .. } => error.code(),
            Self::Fetch(error) => error.code(),
            Self::NotInStore { .. } => "ERR_PNPM_NO_OFFLINE_TARBALL",
            Self::Local { .. } => "ERR_PACQUET_LOCAL_PACKAGE",
            Self::Addresses { .. } => "ERR_PNPM_TARBALL_URL_MISMATCH",
            Self::Policies { violations } => {
                common_code(violations).unwrap_or("ERR_PNPM_LOCKFILE_RESOLUTION_VERIFICATION")
            }
            Self::Engine { .. } | Self::PnpmEngine { .. } => "ERR_PNPM_UNSUPPORTED_ENGINE",
            Self::Pattern(error) => error.code(),
            Self::Metadata(error) => error.code(),
            Self::Runtime(_) => "ERR_PACQUET_NETWORK_SETUP",
            Self::Unsupported { .. } => "ERR_PNPM_UNSUPPORTED_RESOLUTION_TYPE",
            Self::NoVersion { .. } => "ERR_PNPM_BROKEN_LOCKFILE",
            Self::Directory { .. } => "ERR_PACQUET_DIRECTORY",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Config(error) => error.hint(),
            Self::Build(error) => error.hint(),
            Self::Workspace(error) => error.hint(),
            Self::Pnpmfile(error) => error.hint(),
            Self::Manifest(error) => error.hint(),
            Self::Runtime(_) => Some(MORE_THREADS.to_owned()),
            Self::NoLockfile { .. } => {
                Some("make one with `pacquet install`, without --frozen-lockfile".to_owned())
            }
            Self::Conflict { .. } => {
                Some("run `pacquet install`, without --frozen-lockfile".to_owned())
            }
            Self::Lockfile(error) => error.hint(),
            Self::Frozen(error) => error.hint(),
            Self::PackageLock(error) => error.hint(),
            Self::LockedByNpm { .. } => Some(
                "change it with npm, or run `pacquet import` for a pnpm-lock.yaml with its versions"
                    .to_owned(),
            ),
            Self::Select(error) => error.hint(),
            Self::Layout(error) => error.hint(),
            Self::Patch(error) => error.hint(),
            Self::Git(error) => error.hint(),
            Self::Prepare(error) => error.hint(),
            Self::PackList(error) => error.hint(),
            Self::PatchMissing { .. } => {
                Some("add the patch to patchedDependencies in pnpm-workspace.yaml".to_owned())
            }
            Self::Store(error) | Self::Package { source: error, .. } => error.hint(),
            Self::Fetch(error) => error.hint(),
            Self::NotInStore { offline: true, .. } => Some("run it without --offline".to_owned()),
            Self::NotInStore { offline: false, .. } => {
                Some("run `pacquet install --virtual` to fetch them".to_owned())
            }
            Self::Unsupported { kind, .. } if is_runtime(kind) => Some(
                "it is a runtime: install it by other means, and take `runtime:` and \
                 devEngines.runtime out of the manifests"
                    .to_owned(),
            ),
            Self::Unsupported { .. } => Some(
                "resolvers and fetchers of a pnpmfile are pnpm's alone: depend on another package"
                    .to_owned(),
            ),
            Self::Engine { .. } => {
                Some("use such a Node, or set engineStrict to false".to_owned())
            }
            Self::PnpmEngine { .. } => {
                Some("change engines.pnpm in its package.json to use this one".to_owned())
            }
            Self::Addresses { .. } => Some(
                "find out how they came into the lockfile; --trust-lockfile takes them as they are"
                    .to_owned(),
            ),
            Self::Policies { .. } => Some(ABOUT_POLICIES.to_owned()),
            Self::Metadata(error) => error.hint(),
            Self::Pattern(error) => error.hint(),
            Self::ReadLockfile { path, .. } => Some(format!(
                "a lockfile is a file that this user can read: move away what is at {}",
                path.display()
            )),
            Self::Directory { path, .. } => Some(format!(
                "make {} a directory that this user can write",
                path.display()
            )),
            _ => None,
        }
    }
}
