//! What can go wrong with metadata.

use std::path::PathBuf;
use std::sync::Arc;

use crate::diagnostic::Diagnostic;
use crate::install::config::ConfigError;
use crate::install::pick::{PickError, TrustError};
use crate::install::registry::{CHECK_REGISTRY, FetchError};
use crate::name::{NameError, escaped};
use crate::store::StoreError;

/// Why a version's manifest is refused.
#[derive(Debug, thiserror::Error)]
pub enum ManifestRefusal {
    /// It is not JSON, is nested too deep, or says something twice.
    #[error("it is not a manifest: {0}")]
    Json(#[from] serde_json::Error),
    /// It has no version.
    #[error("it has no version")]
    NoVersion,
    /// It is of another version than its place in the packument says.
    #[error("it is of version \"{}\"", escaped(found))]
    OtherVersion {
        /// The version.
        found: Box<str>,
    },
    /// It has no `dist.tarball`.
    #[error("it has no dist.tarball")]
    NoArchive,
    /// The archive's address is not one to download from.
    #[error("its archive is at \"{}\": {reason}", escaped(url))]
    Archive {
        /// The address, printable.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The integrity is malformed.
    #[error("its integrity is malformed: {0}")]
    Integrity(#[from] StoreError),
    /// A name is none.
    #[error("the name \"{}\" in {field} {source}", escaped(name))]
    Name {
        /// Where.
        field: &'static str,
        /// The name.
        name: String,
        /// What is wrong with it.
        source: NameError,
    },
}

/// Why a package's metadata, or a version of it, cannot be had.
#[derive(Debug, Clone, thiserror::Error)]
pub enum MetadataError {
    /// It cannot be fetched.
    #[error(transparent)]
    Fetch(FetchError),
    /// The registry's address is not known.
    #[error(transparent)]
    Config(Arc<ConfigError>),
    /// No registry is configured for a kind of package.
    #[error("No registry is configured for {}", escaped(package))]
    NoRegistry {
        /// The package.
        package: String,
        /// What to write, and where.
        setting: String,
    },
    /// The registry has no such package, or does not show it.
    #[error("GET {url}: {status}")]
    NotFound {
        /// The package.
        package: String,
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// Whether credentials were sent.
        with_credentials: bool,
    },
    /// Offline, and not in the cache.
    #[error("Failed to resolve {package} in package mirror {}", path.display())]
    Offline {
        /// The package, with what is wanted of it.
        package: String,
        /// Where it would be.
        path: PathBuf,
    },
    /// What the registry sent is no packument of the package.
    #[error("The metadata of {} from {url} is refused: {reason}", escaped(package))]
    Packument {
        /// The package.
        package: String,
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: String,
    },
    /// What the registry sent is of another package.
    #[error(
        "The registry returned metadata for \"{}\" when \"{}\" was requested from {url}",
        escaped(found),
        escaped(package)
    )]
    OtherPackage {
        /// The package.
        package: String,
        /// The one that came.
        found: String,
        /// The address.
        url: String,
    },
    /// A version's manifest is refused.
    #[error(
        "The manifest of {}@{} is refused: {source}",
        escaped(package),
        escaped(version)
    )]
    Manifest {
        /// The package.
        package: String,
        /// The version.
        version: String,
        /// What is wrong with it.
        source: Arc<ManifestRefusal>,
    },
    /// The cache's file is not what it was.
    #[error("The cached metadata in {} is damaged", path.display())]
    Damaged {
        /// The file.
        path: PathBuf,
    },
    /// No choice can be made.
    #[error(transparent)]
    Pick(#[from] PickError),
    /// `trustPolicy` refuses the version.
    #[error(transparent)]
    Trust(#[from] TrustError),
    /// No version satisfies what is wanted.
    #[error(
        "No matching version found for {} while fetching it from {registry}",
        escaped(wanted)
    )]
    NoMatchingVersion {
        /// `alias@specifier`.
        wanted: String,
        /// The registry, printable.
        registry: String,
        /// What there is instead.
        published: String,
    },
}

impl Diagnostic for MetadataError {
    fn code(&self) -> &'static str {
        match self {
            Self::Fetch(error) => error.code(),
            Self::Config(error) => error.code(),
            Self::NoRegistry { .. } => "ERR_PACQUET_NO_REGISTRY",
            Self::NotFound { status: 401, .. } => "ERR_PNPM_FETCH_401",
            Self::NotFound { status: 403, .. } => "ERR_PNPM_FETCH_403",
            Self::NotFound { .. } => "ERR_PNPM_FETCH_404",
            Self::Offline { .. } => "ERR_PNPM_NO_OFFLINE_META",
            Self::OtherPackage { .. } => "ERR_PNPM_REGISTRY_NAME_MISMATCH",
            Self::Packument { .. } => "ERR_PACQUET_PACKUMENT",
            Self::Manifest { source, .. } => match &**source {
                ManifestRefusal::Name { .. } => "ERR_PNPM_INVALID_DEPENDENCY_NAME",
                ManifestRefusal::Integrity(_) => "ERR_PNPM_INVALID_TARBALL_INTEGRITY",
                ManifestRefusal::Archive { .. } => "ERR_PACQUET_TARBALL_URL",
                _ => "ERR_PACQUET_PACKUMENT",
            },
            Self::Damaged { .. } => "ERR_PACQUET_METADATA_CACHE",
            Self::Pick(error) => error.code(),
            Self::Trust(error) => error.code(),
            Self::NoMatchingVersion { .. } => "ERR_PNPM_NO_MATCHING_VERSION",
        }
    }

    fn hint(&self) -> Option<String> {
        match self {
            Self::Fetch(error) => error.hint(),
            Self::Config(error) => error.hint(),
            Self::Pick(error) => error.hint(),
            Self::Trust(error) => error.hint(),
            Self::NotFound {
                package,
                status,
                with_credentials,
                ..
            } => Some(not_found_hint(package, *status, *with_credentials)),
            Self::NoRegistry { setting, .. } => Some(format!("Set {setting}.")),
            Self::Offline { .. } => Some("Run it once without --offline.".to_owned()),
            Self::NoMatchingVersion { published, .. } => {
                Some(published.clone()).filter(|hint| !hint.is_empty())
            }
            Self::Packument { .. } | Self::OtherPackage { .. } => Some(CHECK_REGISTRY.to_owned()),
            Self::Manifest { .. } => Some("Ask for another version of it.".to_owned()),
            Self::Damaged { path } => Some(format!("Remove {}.", path.display())),
        }
    }
}

fn not_found_hint(package: &str, status: u16, with_credentials: bool) -> String {
    let credentials = if with_credentials {
        "The configured credentials were sent."
    } else {
        "No authorization header was set for the request."
    };
    if status != 404 {
        return credentials.to_owned();
    }
    let package = escaped(package);
    format!(
        "{package} is not in the npm registry, or you have no permission to fetch it. {credentials}"
    )
}
