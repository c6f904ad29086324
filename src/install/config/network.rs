//! How the network is used.

use std::path::PathBuf;
use std::time::Duration;

use super::credentials::{Pem, Secret, TlsIdentity};
use super::environment::Environment;
use super::error::ConfigError;
use super::options::Options;
use super::resolved::{cores, size};

/// When a request is made again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RetryConfig {
    /// `fetchRetries`: how often after the first try.
    pub retries: u32,
    /// `fetchRetryFactor`: each wait is this many times the one before.
    pub factor: u32,
    /// `fetchRetryMintimeout`: the first wait.
    pub wait_min: Duration,
    /// `fetchRetryMaxtimeout`: the longest wait.
    pub wait_max: Duration,
}

/// How the network is used.
#[derive(Debug, Clone)]
pub struct NetworkConfig {
    /// `networkConcurrency`: requests at once.
    pub concurrency: usize,
    /// Retries.
    pub retry: RetryConfig,
    /// `maxTarballUnpackedSize`: bytes that the files of an archive may have together.
    pub unpacked_bytes_max: Option<u64>,
    /// `fetchTimeout`: the longest time without progress.
    pub inactivity_timeout: Duration,
    /// `fetchWarnTimeoutMs`: a slower answer to a metadata request is worth a warning.
    pub warn_timeout: Duration,
    /// `fetchMinSpeedKiBps`: a slower download is worth a warning.
    pub warn_speed_kib_per_second: u64,
    /// `offline`: no request is made.
    pub offline: bool,
    /// `preferOffline`: metadata from the cache, whatever its age.
    pub prefer_offline: bool,
    /// Proxy of https requests. It may hold credentials, so it prints as `***`.
    pub https_proxy: Option<Secret>,
    /// Proxy of http requests.
    pub http_proxy: Option<Secret>,
    /// Hosts without a proxy, with commas between them.
    pub no_proxy: Option<String>,
    /// `ca`, `cafile`, `cert` and `key` for all hosts.
    pub tls: TlsIdentity,
    /// `NODE_EXTRA_CA_CERTS`: a file of authorities to trust beside all others.
    pub extra_authorities: Option<PathBuf>,
    /// `strict-ssl`: certificates are checked.
    pub strict_tls: bool,
    /// `local-address`: where connections come from.
    pub local_address: Option<std::net::IpAddr>,
    /// `userAgent`.
    pub user_agent: String,
}

pub(super) fn network(
    options: &Options,
    environment: &Environment,
) -> Result<NetworkConfig, ConfigError> {
    let milliseconds =
        |value: Option<u64>, default| Duration::from_millis(value.unwrap_or(default));
    let count = |value: Option<u64>, default| {
        value.map_or(default, |value| u32::try_from(value).unwrap_or(u32::MAX))
    };
    let variable = |names: &[&str]| environment.first_variable(names).map(Secret::new);
    // `false`, as npm writes a proxy that is turned off.
    let is_set = |proxy: &Secret| proxy.expose() != "false";
    let of = |proxy: &Option<Secret>| proxy.clone().filter(is_set);
    let is_off = options.proxy.as_ref().is_some_and(|proxy| !is_set(proxy));
    let variable = |names: &[&str]| variable(names).filter(|_| !is_off);
    let https_proxy = of(&options.https_proxy)
        .or_else(|| of(&options.proxy))
        .or_else(|| variable(&["HTTPS_PROXY", "https_proxy"]));
    let http_proxy = of(&options.http_proxy)
        .or_else(|| https_proxy.clone())
        .or_else(|| variable(&["HTTP_PROXY", "http_proxy", "PROXY", "proxy"]));
    let no_proxy = options.no_proxy.as_ref().map(|list| list.0.as_str());
    let no_proxy = no_proxy.or_else(|| environment.first_variable(&["NO_PROXY", "no_proxy"]));
    let local_address = match options.local_address.as_deref() {
        None => None,
        Some(text) => Some(text.parse().map_err(|_| ConfigError::WrongType {
            origin: "the configuration".to_owned(),
            key: "local-address".to_owned(),
            expected: "an IP address",
            found: format!("\"{text}\""),
        })?),
    };
    if options.network_concurrency == Some(0) {
        return Err(ConfigError::WrongType {
            origin: "the configuration".to_owned(),
            key: "networkConcurrency".to_owned(),
            expected: "at least 1",
            found: "0".to_owned(),
        });
    }
    let concurrency = (cores().saturating_sub(1) * 3).clamp(64, 96);
    Ok(NetworkConfig {
        concurrency: size(options.network_concurrency, concurrency),
        retry: RetryConfig {
            retries: count(options.fetch_retries, 2),
            factor: count(options.fetch_retry_factor, 10),
            wait_min: milliseconds(options.fetch_retry_mintimeout, 10_000),
            wait_max: milliseconds(options.fetch_retry_maxtimeout, 60_000),
        },
        unpacked_bytes_max: options.max_tarball_unpacked_size,
        inactivity_timeout: milliseconds(options.fetch_timeout, 60_000),
        warn_timeout: milliseconds(options.fetch_warn_timeout_ms, 10_000),
        warn_speed_kib_per_second: options.fetch_min_speed_ki_bps.unwrap_or(50),
        offline: options.offline.unwrap_or(false),
        prefer_offline: options.prefer_offline.unwrap_or(false),
        https_proxy,
        http_proxy,
        no_proxy: no_proxy.map(str::to_owned),
        tls: tls(options),
        extra_authorities: environment
            .variable("NODE_EXTRA_CA_CERTS")
            .map(PathBuf::from),
        strict_tls: options.strict_ssl.unwrap_or(true),
        local_address,
        user_agent: options
            .user_agent
            .clone()
            .unwrap_or_else(|| format!("pacquet/{} npm/? node/? linux", env!("CARGO_PKG_VERSION"))),
    })
}

fn tls(options: &Options) -> TlsIdentity {
    let inline = |text: &str| Pem::Inline(Secret::new(text.replace("\\n", "\n")));
    let mut authorities: Vec<Pem> = options
        .ca
        .iter()
        .flatten()
        .map(|text| inline(text))
        .collect();
    authorities.extend(options.ca_file.clone().map(Pem::File));
    TlsIdentity {
        authorities,
        certificate: options.certificate.as_deref().map(inline),
        key: options.key.as_ref().map(|key| inline(key.expose())),
    }
}
