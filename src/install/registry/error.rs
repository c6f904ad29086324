//! What can go wrong while downloading.

use std::path::PathBuf;
use std::time::Duration;

use crate::diagnostic::Diagnostic;
use crate::install::config::ConfigError;
use crate::install::runtime::MORE_THREADS;
use crate::name::escaped;

/// Why an archive could not be downloaded. Every address in it is printable: without credentials.
#[derive(Debug, Clone, thiserror::Error)]
pub enum FetchError {
    /// `offline` is set.
    #[error(
        "{} is not in the store and cannot be downloaded offline",
        escaped(package)
    )]
    Offline {
        /// As in the request.
        package: String,
    },
    /// An address is none, or of a kind that is not downloaded from.
    #[error(
        "Cannot download {} from \"{}\": {reason}",
        escaped(package),
        escaped(url)
    )]
    Address {
        /// As in the request.
        package: String,
        /// The address.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The server answers with a status other than success.
    #[error("GET {url} answered {status} ({})", escaped(package))]
    Status {
        /// As in the request.
        package: String,
        /// The address.
        url: String,
        /// The status.
        status: u16,
        /// Whether the request had credentials.
        with_credentials: bool,
        /// How long the server asks to wait.
        retry_after: Option<Duration>,
    },
    /// The connection fails.
    #[error("GET {url} failed ({}): {reason}", escaped(package))]
    Network {
        /// As in the request.
        package: String,
        /// The address.
        url: String,
        /// The whole chain of causes, in one line.
        reason: String,
    },
    /// Nothing, or next to nothing, arrives.
    #[error("GET {url} made no progress for {} ms ({})", after.as_millis(), escaped(package))]
    Stalled {
        /// As in the request.
        package: String,
        /// The address.
        url: String,
        /// For how long.
        after: Duration,
    },
    /// Fewer bytes arrive than were announced.
    #[error(
        "GET {url} gave {actual} bytes of the {expected} that it announced ({})",
        escaped(package)
    )]
    Truncated {
        /// As in the request.
        package: String,
        /// The address.
        url: String,
        /// `Content-Length`.
        expected: u64,
        /// What arrived.
        actual: u64,
    },
    /// There is more than is taken.
    #[error("GET {url} gives more than {limit} bytes ({})", escaped(package))]
    TooLarge {
        /// As in the request.
        package: String,
        /// The address.
        url: String,
        /// The limit in bytes.
        limit: u64,
    },
    /// A redirect that is not followed.
    #[error("GET {url} redirects to {target}: {reason} ({})", escaped(package))]
    Redirect {
        /// As in the request.
        package: String,
        /// The address.
        url: String,
        /// Where it leads.
        target: String,
        /// Why that is refused.
        reason: &'static str,
    },
    /// A web page instead of an archive.
    #[error(
        "GET {url} gave a web page instead of an archive ({})",
        escaped(package)
    )]
    WebPage {
        /// As in the request.
        package: String,
        /// The address.
        url: String,
    },
    /// The credentials for an address cannot be had.
    #[error("Cannot authenticate to {url}: {reason}")]
    Credentials {
        /// The address.
        url: String,
        /// Why.
        reason: String,
        /// Code of the cause.
        code: &'static str,
    },
    /// A configured proxy has no address.
    #[error("\"{key}\" is not a proxy's URL")]
    Proxy {
        /// The setting.
        key: &'static str,
    },
    /// The configured certificates cannot be used, or no certificate is trusted.
    #[error("Cannot set up connections: {reason}")]
    Setup {
        /// Why.
        reason: String,
    },
    /// Threads cannot be started.
    #[error("Cannot start the threads that downloads need: {reason}")]
    Threads {
        /// Why.
        reason: String,
    },
    /// A large archive cannot be kept in a file.
    #[error("Cannot write a download to a temporary file in {}: {reason}", directory.display())]
    Spool {
        /// Where.
        directory: PathBuf,
        /// Why.
        reason: String,
    },
}

/// What to do about an answer that no registry gives.
pub(crate) const CHECK_REGISTRY: &str =
    "Check the registry's address, and that no proxy or log-in page is in between.";

impl FetchError {
    /// Whether the same request may succeed a moment later.
    pub(crate) fn is_transient(&self) -> bool {
        match self {
            Self::Status { status, .. } => matches!(status, 408 | 429 | 500..=599),
            Self::Network { .. } | Self::Stalled { .. } | Self::Truncated { .. } => true,
            _ => false,
        }
    }

    /// How long the server asks to wait.
    pub(super) fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::Status { retry_after, .. } => *retry_after,
            _ => None,
        }
    }

    pub(super) fn credentials(url: &reqwest::Url, error: &ConfigError) -> Self {
        Self::Credentials {
            url: super::printable(url),
            reason: error.to_string(),
            code: error.code(),
        }
    }
}

impl Diagnostic for FetchError {
    fn code(&self) -> &'static str {
        match self {
            Self::Offline { .. } => "ERR_PNPM_NO_OFFLINE_TARBALL",
            Self::Address { .. } => "ERR_PACQUET_TARBALL_URL",
            Self::Status { status, .. } => status_code(*status),
            Self::Network { .. } => "ERR_PNPM_FETCH_ERROR",
            Self::Stalled { .. } => "ERR_PACQUET_FETCH_STALLED",
            Self::Truncated { .. } | Self::TooLarge { .. } => "ERR_PNPM_BAD_TARBALL_SIZE",
            Self::Redirect { .. } => "ERR_PACQUET_REDIRECT",
            Self::WebPage { .. } => "ERR_PACQUET_NOT_AN_ARCHIVE",
            Self::Credentials { code, .. } => code,
            Self::Proxy { .. } => "ERR_PNPM_INVALID_PROXY",
            Self::Setup { .. } | Self::Threads { .. } => "ERR_PACQUET_NETWORK_SETUP",
            Self::Spool { .. } => "ERR_PACQUET_SPOOL",
        }
    }

    fn hint(&self) -> Option<String> {
        let text = match self {
            Self::Offline { .. } => "Run the install once without --offline.",
            Self::Threads { .. } => MORE_THREADS,
            Self::Proxy { .. } => {
                "Check https-proxy, http-proxy and proxy, and the variables HTTPS_PROXY and \
                 HTTP_PROXY. What is special in an address is written as %XX in user and password."
            }
            Self::Status {
                status: 401 | 403 | 404,
                with_credentials: false,
                ..
            } => {
                "No credentials were sent: none are configured for this address. A private \
                 package needs a line \"//<host>/:_authToken=<token>\" in ~/.npmrc."
            }
            Self::Status {
                status: 401 | 403, ..
            } => "The configured credentials were sent and refused: log in again.",
            Self::Status { status: 429, .. } => "Lower --network-concurrency, or wait.",
            Self::WebPage { .. } => {
                "A proxy or a log-in page may be in between, or the address may be wrong."
            }
            Self::Spool { .. } => {
                "Free space there, or use a store on another file system with --store-dir."
            }
            Self::Status {
                status: 500..=599, ..
            } => "The registry has a fault of its own: try again later.",
            Self::Network { .. } | Self::Stalled { .. } | Self::Truncated { .. } => {
                "Check the network, the proxy settings and the registry's address."
            }
            Self::Status { .. }
            | Self::Redirect { .. }
            | Self::TooLarge { .. }
            | Self::Address { .. } => CHECK_REGISTRY,
            _ => return None,
        };
        Some(text.to_owned())
    }
}

fn status_code(status: u16) -> &'static str {
    match status {
        400 => "ERR_PNPM_FETCH_400",
        401 => "ERR_PNPM_FETCH_401",
        402 => "ERR_PNPM_FETCH_402",
        403 => "ERR_PNPM_FETCH_403",
        404 => "ERR_PNPM_FETCH_404",
        405 => "ERR_PNPM_FETCH_405",
        406 => "ERR_PNPM_FETCH_406",
        407 => "ERR_PNPM_FETCH_407",
        408 => "ERR_PNPM_FETCH_408",
        409 => "ERR_PNPM_FETCH_409",
        410 => "ERR_PNPM_FETCH_410",
        422 => "ERR_PNPM_FETCH_422",
        429 => "ERR_PNPM_FETCH_429",
        451 => "ERR_PNPM_FETCH_451",
        500 => "ERR_PNPM_FETCH_500",
        501 => "ERR_PNPM_FETCH_501",
        502 => "ERR_PNPM_FETCH_502",
        503 => "ERR_PNPM_FETCH_503",
        504 => "ERR_PNPM_FETCH_504",
        _ => "ERR_PNPM_FETCH_ERROR",
    }
}
