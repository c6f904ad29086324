//! Why a project cannot be resolved.

use std::path::PathBuf;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::install::manifest::ManifestError;
use crate::install::metadata::MetadataError;
use crate::install::origins::OriginError;
use crate::install::pick::SpecifierError;
use crate::install::pnpmfile::PnpmfileError;
use crate::name::{NameError, escaped};

/// Of a longer chain of dependants, only both ends are said.
const CHAIN_SHOWN_MAX: usize = 20;

/// Why one package cannot be found.
#[derive(Debug, Clone, thiserror::Error)]
pub enum SourceError {
    /// A registry's package.
    #[error(transparent)]
    Metadata(#[from] MetadataError),
    /// An archive or a repository.
    #[error(transparent)]
    Origin(#[from] OriginError),
    /// A package of this machine.
    #[error(transparent)]
    Local(Arc<ManifestError>),
    /// A file of this machine.
    #[error("Cannot read {}", path.display())]
    Read {
        /// Which.
        path: PathBuf,
        /// Why.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// An archive or a repository.
    #[error("{reason}")]
    Fetch {
        /// Why, as a sentence.
        reason: String,
        /// pnpm's code.
        code: &'static str,
    },
}

impl Diagnostic for SourceError {
    fn code(&self) -> &'static str {
        match self {
            Self::Metadata(error) => error.code(),
            Self::Origin(error) => error.code(),
            Self::Local(error) => error.code(),
            Self::Read { .. } => "ERR_PNPM_LINKED_PKG_DIR_NOT_FOUND",
            Self::Fetch { code, .. } => code,
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Metadata(error) => error.hint(),
            Self::Origin(error) => error.hint(),
            Self::Local(error) => error.hint(),
            Self::Read { .. } => Some("correct the path, or make a package there".to_owned()),
            Self::Fetch { .. } => None,
        }
    }
}

/// What is wrong.
#[derive(Debug, thiserror::Error)]
pub enum ResolveFault {
    /// A package cannot be found.
    #[error(transparent)]
    Source(#[from] SourceError),
    /// A specifier is none.
    #[error(transparent)]
    Specifier(#[from] SpecifierError),
    /// The lockfile has an optional dependency that cannot be found now.
    #[error(transparent)]
    LockedOptional(SourceError),
    /// A catalog does not have an entry.
    #[error(
        "No catalog entry '{}' was found for catalog '{}'.",
        escaped(alias),
        escaped(catalog)
    )]
    CatalogEntry {
        /// Which catalog.
        catalog: String,
        /// Which entry.
        alias: String,
    },
    /// An entry of a catalog that is one of a catalog again.
    #[error(
        "The catalog entry '{}' of catalog '{}' refers to a catalog",
        escaped(alias),
        escaped(catalog)
    )]
    CatalogInCatalog {
        /// Which catalog.
        catalog: String,
        /// Which entry.
        alias: String,
    },
    /// No project has the name.
    #[error(
        "In {}: \"{}@{}\" is in the dependencies but no package named \"{}\" is \
         present in the workspace",
        directory.display(),
        escaped(name),
        escaped(specifier),
        escaped(name)
    )]
    NoProject {
        /// Where.
        directory: PathBuf,
        /// Which.
        name: String,
        /// As written.
        specifier: String,
        /// What there is.
        projects: Vec<String>,
    },
    /// No project of the name has a fitting version.
    #[error(
        "In {}: No matching version found for {}@{} inside the workspace. Available \
         versions: {}",
        directory.display(),
        escaped(name),
        escaped(specifier),
        escaped(&versions.join(", "))
    )]
    NoProjectVersion {
        /// Where.
        directory: PathBuf,
        /// Which.
        name: String,
        /// As written.
        specifier: String,
        /// What there is.
        versions: Vec<String>,
    },
    /// A package that is neither a project nor a registry's asks for an address.
    #[error(
        "Exotic dependency \"{}\" (resolved via {via}) is not allowed in \
         subdependencies when blockExoticSubdeps is enabled",
        escaped(specifier)
    )]
    Exotic {
        /// Alias.
        specifier: String,
        /// As pnpm calls it.
        via: &'static str,
    },
    /// Of `patchedDependencies`, several ranges fit a version.
    #[error(
        "Unable to choose between patches for {}: {}",
        escaped(package),
        escaped(&keys.join(", "))
    )]
    PatchConflict {
        /// Name and version.
        package: String,
        /// Keys that fit.
        keys: Vec<String>,
    },
    /// Patches that no package needs.
    #[error("The following patches were not used: {}", escaped(&keys.join(", ")))]
    UnusedPatches {
        /// Their keys.
        keys: Vec<String>,
    },
    /// A selector of `packageExtensions` or `overrides` is none.
    #[error("Cannot parse the {setting} selector \"{}\"", escaped(selector))]
    Selector {
        /// Which setting.
        setting: &'static str,
        /// As written.
        selector: String,
        /// pnpm's code.
        code: &'static str,
    },
    /// A name or path cannot be used.
    #[error("The dependency name \"{}\" {source}", escaped(name))]
    Name {
        /// Which.
        name: String,
        /// Why.
        source: NameError,
    },
    /// What a project says of a peer is no range.
    #[error(
        "The peerDependencies field named '{}' of package '{}' has an invalid value: '{}'",
        escaped(alias),
        escaped(package),
        escaped(specifier)
    )]
    PeerSpecifier {
        /// The project's name, or its directory.
        package: String,
        /// Which peer.
        alias: String,
        /// As written.
        specifier: String,
    },
    /// A kind of dependency that is not installed.
    #[error(
        "{} asks for {}, which is not supported",
        escaped(alias),
        escaped(specifier)
    )]
    Unsupported {
        /// Who.
        alias: String,
        /// What.
        specifier: String,
    },
    /// The hook of a pnpmfile.
    #[error(transparent)]
    Pnpmfile(#[from] PnpmfileError),
    /// Dependencies are nested too deep.
    #[error("Dependencies are nested deeper than {0} packages")]
    TooDeep(usize),
}

/// Why a project cannot be resolved, and who asked for what failed.
#[derive(Debug, Clone)]
pub struct ResolveError {
    /// What is wrong.
    pub fault: Arc<ResolveFault>,
    /// From the project to the package whose dependency it is: `name@version`. Empty where the
    /// project itself asks.
    pub dependants: Vec<String>,
    /// The project, relative to the lockfile's directory.
    pub project: Option<String>,
    /// The id of the package that cannot do without what failed, and is left out with it.
    pub(super) broken: Option<Arc<str>>,
}

impl ResolveFault {
    /// Whether an optional dependency that needs what failed is left out for it.
    pub(super) fn is_unresolved(&self) -> bool {
        matches!(
            self,
            Self::Source(_)
                | Self::Specifier(_)
                | Self::NoProject { .. }
                | Self::NoProjectVersion { .. }
                | Self::Unsupported { .. }
        )
    }
}

impl std::fmt::Display for ResolveError {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.fault)?;
        if self.dependants.is_empty() {
            return Ok(());
        }
        let mut chain: Vec<String> = self.dependants.iter().map(|text| escaped(text)).collect();
        if chain.len() > CHAIN_SHOWN_MAX {
            let end = chain.len() - CHAIN_SHOWN_MAX / 2;
            chain.splice(CHAIN_SHOWN_MAX / 2..end, ["…".to_owned()]);
        }
        write!(formatter, ". It is needed by {}", chain.join(" > "))?;
        match self.project.as_deref() {
            Some(project) if project != "." => write!(formatter, " (in {})", escaped(project)),
            _ => Ok(()),
        }
    }
}

impl std::error::Error for ResolveError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        std::error::Error::source(&*self.fault)
    }
}

impl<F: Into<ResolveFault>> From<F> for ResolveError {
    fn from(fault: F) -> Self {
        Self {
            fault: Arc::new(fault.into()),
            dependants: Vec::new(),
            project: None,
            broken: None,
        }
    }
}

impl Diagnostic for ResolveError {
    fn code(&self) -> &'static str {
        match &*self.fault {
            ResolveFault::Source(error) | ResolveFault::LockedOptional(error) => error.code(),
            ResolveFault::Specifier(_) => "ERR_PNPM_SPEC_NOT_SUPPORTED_BY_ANY_RESOLVER",
            ResolveFault::CatalogEntry { .. } => "ERR_PNPM_CATALOG_ENTRY_NOT_FOUND_FOR_SPEC",
            ResolveFault::CatalogInCatalog { .. } => {
                "ERR_PNPM_CATALOG_ENTRY_INVALID_RECURSIVE_DEFINITION"
            }
            ResolveFault::Selector { code, .. } => code,
            ResolveFault::NoProject { .. } => "ERR_PNPM_WORKSPACE_PKG_NOT_FOUND",
            ResolveFault::NoProjectVersion { .. } => {
                "ERR_PNPM_NO_MATCHING_VERSION_INSIDE_WORKSPACE"
            }
            ResolveFault::Exotic { .. } => "ERR_PNPM_EXOTIC_SUBDEP",
            ResolveFault::PatchConflict { .. } => "ERR_PNPM_PATCH_KEY_CONFLICT",
            ResolveFault::UnusedPatches { .. } => "ERR_PNPM_UNUSED_PATCH",
            ResolveFault::Name { .. } => "ERR_PNPM_INVALID_DEPENDENCY_NAME",
            ResolveFault::Unsupported { .. } => "ERR_PNPM_SPEC_NOT_SUPPORTED_BY_ANY_RESOLVER",
            ResolveFault::PeerSpecifier { .. } => "ERR_PNPM_INVALID_PEER_DEPENDENCY_SPECIFICATION",
            ResolveFault::Pnpmfile(error) => error.code(),
            ResolveFault::TooDeep(_) => "ERR_PACQUET_RESOLVE_DEPTH",
        }
    }

    fn hint(&self) -> Option<String> {
        match &*self.fault {
            ResolveFault::Source(error) => error.hint(),
            ResolveFault::Specifier(error) => error.hint(),
            ResolveFault::CatalogEntry { .. } => {
                Some("write it into that catalog in pnpm-workspace.yaml".to_owned())
            }
            ResolveFault::Selector { .. } => {
                Some("a selector is NAME, or NAME@RANGE: correct it in the settings".to_owned())
            }
            ResolveFault::Pnpmfile(error) => error.hint(),
            ResolveFault::LockedOptional(_) => Some(
                "It is optional, but the lockfile has it: leaving it out would change the \
                 lockfile from machine to machine"
                    .to_owned(),
            ),
            ResolveFault::PeerSpecifier { .. } => Some(
                "A peer is asked for by a range of versions, by `workspace:` or `catalog:`, or by \
                 another specifier with a protocol, such as `npm:` or `file:`"
                    .to_owned(),
            ),
            ResolveFault::NoProject { projects, .. } => Some(format!(
                "Packages found in the workspace: {}",
                escaped(&projects.join(", "))
            )),
            ResolveFault::Unsupported { specifier, .. } if specifier.starts_with("runtime:") => {
                Some(
                    "runtimes are installed where the lockfile has them: lock it with \
                     `pnpm install --lockfile-only`"
                        .to_owned(),
                )
            }
            ResolveFault::UnusedPatches { .. } => Some(
                "Either remove them from patchedDependencies or update them to match packages \
                 in your dependencies"
                    .to_owned(),
            ),
            _ => None,
        }
    }
}
