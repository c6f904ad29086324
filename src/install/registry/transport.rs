//! Connections: one pool for plain http, one for https, one more for each host with certificates of
//! its own; each is made when it is first needed.

use std::collections::HashMap;
use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::Duration;

use reqwest::{NoProxy, Proxy, Url, redirect};

use super::error::FetchError;
use super::tls::{Authorities, client_config};
use crate::install::config::{Credentials, NetworkConfig, Secret, TlsIdentity};

/// How long an unused connection is kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(30);

/// Flow-control windows of HTTP/2, large enough that one archive does not wait for the other end.
const STREAM_WINDOW_BYTES: u32 = 2 << 20;
const CONNECTION_WINDOW_BYTES: u32 = 16 << 20;

/// The pools.
#[derive(Debug)]
pub(super) struct Transports {
    plain: OnceLock<Result<reqwest::Client, FetchError>>,
    encrypted: OnceLock<Result<reqwest::Client, FetchError>>,
    by_prefix: Mutex<HashMap<Box<str>, Result<reqwest::Client, FetchError>>>,
}

impl Transports {
    pub(super) fn new() -> Self {
        Self {
            plain: OnceLock::new(),
            encrypted: OnceLock::new(),
            by_prefix: Mutex::new(HashMap::new()),
        }
    }

    /// The pool for `url`.
    pub(super) fn get(
        &self,
        url: &Url,
        network: &NetworkConfig,
        credentials: &Credentials,
    ) -> Result<reqwest::Client, FetchError> {
        if url.scheme() == "http" {
            return self.plain.get_or_init(|| plain(network)).clone();
        }
        if let Some((prefix, identity)) = credentials.tls_identity(url) {
            let mut pools = self
                .by_prefix
                .lock()
                .unwrap_or_else(PoisonError::into_inner);
            let pool = pools
                .entry(prefix)
                .or_insert_with(|| encrypted(network, &whole(network, identity)));
            return pool.clone();
        }
        self.encrypted
            .get_or_init(|| encrypted(network, &network.tls))
            .clone()
    }
}

/// What is configured for some hosts, and what all have in the place of what is not.
fn whole(network: &NetworkConfig, identity: &TlsIdentity) -> TlsIdentity {
    identity.clone().or(network.tls.clone())
}

fn plain(network: &NetworkConfig) -> Result<reqwest::Client, FetchError> {
    // Only a proxy that itself speaks TLS needs authorities for plain requests.
    let is_https = |proxy: &Secret| proxy.expose().starts_with("https:");
    let authorities = match network.http_proxy.as_ref().is_some_and(is_https) {
        true => Authorities::Trusted,
        false => Authorities::None,
    };
    build(network, &TlsIdentity::default(), authorities)
}

fn encrypted(
    network: &NetworkConfig,
    identity: &TlsIdentity,
) -> Result<reqwest::Client, FetchError> {
    build(network, identity, Authorities::Trusted)
}

fn build(
    network: &NetworkConfig,
    identity: &TlsIdentity,
    authorities: Authorities,
) -> Result<reqwest::Client, FetchError> {
    let mut builder = reqwest::Client::builder()
        .tls_backend_preconfigured(client_config(network, identity, authorities)?)
        .redirect(redirect::Policy::none())
        .retry(reqwest::retry::never())
        .gzip(false)
        .user_agent(&network.user_agent)
        .connect_timeout(network.inactivity_timeout)
        .pool_idle_timeout(IDLE_TIMEOUT)
        .pool_max_idle_per_host(network.concurrency)
        .tcp_nodelay(true)
        .http2_initial_stream_window_size(STREAM_WINDOW_BYTES)
        .http2_initial_connection_window_size(CONNECTION_WINDOW_BYTES)
        .local_address(network.local_address)
        .no_proxy();
    if let Some(proxy) = &network.https_proxy {
        builder = builder.proxy(through(
            network,
            Proxy::https(proxy.expose()),
            "https-proxy",
        )?);
    }
    if let Some(proxy) = &network.http_proxy {
        builder = builder.proxy(through(network, Proxy::http(proxy.expose()), "http-proxy")?);
    }
    builder.build().map_err(|error| FetchError::Setup {
        reason: chain(&error.without_url()),
    })
}

fn through(
    network: &NetworkConfig,
    proxy: reqwest::Result<Proxy>,
    key: &'static str,
) -> Result<Proxy, FetchError> {
    // The error may repeat the proxy's address, which may hold a password.
    let proxy = proxy.map_err(|_| FetchError::Proxy { key })?;
    Ok(proxy.no_proxy(network.no_proxy.as_deref().and_then(NoProxy::from_string)))
}

/// An error and its causes in one line.
pub(super) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text.push_str(": ");
            text.push_str(&cause_text);
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::config::{CliOverrides, Config, Environment};

    #[test]
    fn hosts_with_certificates_of_their_own_have_the_authorities_of_all() {
        for npmrc in [
            "cafile=/ca\n//one.test/:certfile=/cert\n//one.test/:keyfile=/key",
            // Those without a host are for the registry of the file.
            "cafile=/ca\nregistry=https://one.test/\ncert=x\nkey=y",
        ] {
            let home = tempfile::tempdir().unwrap();
            std::fs::write(home.path().join(".npmrc"), npmrc).unwrap();
            let variables = [("HOME".into(), home.path().into())];
            let environment = Environment::new(variables, home.path().to_path_buf());
            let overrides = CliOverrides::default();
            let config = Config::load(&environment, &overrides, home.path()).unwrap();
            let url = Url::parse("https://one.test/x").unwrap();
            let (_, identity) = config.credentials.tls_identity(&url).unwrap();
            let identity = whole(&config.network, identity);
            assert_eq!(
                identity.authorities, config.network.tls.authorities,
                "{npmrc}"
            );
            assert_eq!(identity.authorities.len(), 1, "{npmrc}");
            assert!(
                identity.certificate.is_some() && identity.key.is_some(),
                "{npmrc}"
            );
        }
    }
}
