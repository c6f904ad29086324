//! TLS: which authorities are trusted, and who we are.

use std::sync::{Arc, LazyLock};

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, RootCertStore, SignatureScheme};

use super::error::FetchError;
use crate::install::config::{NetworkConfig, Pem, TlsIdentity};

/// Whether a transport will speak TLS at all. Loading the system's authorities takes tens of
/// milliseconds, which a registry without TLS must not cost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Authorities {
    /// None are needed.
    None,
    /// The configured ones, else the system's.
    Trusted,
}

fn setup(reason: impl std::fmt::Display) -> FetchError {
    FetchError::Setup {
        reason: reason.to_string(),
    }
}

/// A TLS configuration with `identity`.
pub(super) fn client_config(
    network: &NetworkConfig,
    identity: &TlsIdentity,
    authorities: Authorities,
) -> Result<ClientConfig, FetchError> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider))
        .with_safe_default_protocol_versions()
        .map_err(setup)?;
    let builder = if network.strict_tls || authorities == Authorities::None {
        builder.with_root_certificates(roots(network, identity, authorities)?)
    } else {
        builder
            .dangerous()
            .with_custom_certificate_verifier(Arc::new(Unverified(provider)))
    };
    let mut config = match (&identity.certificate, &identity.key) {
        (Some(certificate), Some(key)) => {
            let chain = certificates(&read(certificate)?)?;
            let key = PrivateKeyDer::from_pem_slice(read(key)?.as_bytes())
                .map_err(|error| setup(format_args!("the key is not PEM ({error})")))?;
            builder.with_client_auth_cert(chain, key).map_err(setup)?
        }
        (None, None) => builder.with_no_client_auth(),
        _ => {
            return Err(setup(
                "a certificate and a key are needed, and only one is given",
            ));
        }
    };
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    Ok(config)
}

fn roots(
    network: &NetworkConfig,
    identity: &TlsIdentity,
    authorities: Authorities,
) -> Result<RootCertStore, FetchError> {
    let mut store = RootCertStore::empty();
    if authorities == Authorities::None {
        return Ok(store);
    }
    for pem in &identity.authorities {
        for certificate in certificates(&read(pem)?)? {
            store.add(certificate).map_err(setup)?;
        }
    }
    if identity.authorities.is_empty() {
        store.add_parsable_certificates(system_certificates().iter().cloned());
        if store.is_empty() {
            return Err(setup(
                "the system has no trusted certificates (see \"cafile\")",
            ));
        }
    }
    if let Some(path) = &network.extra_authorities {
        let text = read(&Pem::File(path.clone()))?;
        store.add_parsable_certificates(certificates(&text)?);
    }
    Ok(store)
}

/// The authorities that the system trusts. Every client of this process needs them, and to read
/// them takes tens of milliseconds.
fn system_certificates() -> &'static [CertificateDer<'static>] {
    static CERTIFICATES: LazyLock<Vec<CertificateDer<'static>>> =
        LazyLock::new(|| rustls_native_certs::load_native_certs().certs);
    &CERTIFICATES
}

fn read(pem: &Pem) -> Result<String, FetchError> {
    pem.read()
        .map_err(|error| match std::error::Error::source(&error) {
            Some(source) => setup(format_args!("{error}: {source}")),
            None => setup(error),
        })
}

fn certificates(pem: &str) -> Result<Vec<CertificateDer<'static>>, FetchError> {
    let parsed: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    match parsed {
        Ok(list) if list.is_empty() => Err(setup("a configured certificate has no PEM block")),
        Ok(list) => Ok(list),
        Err(error) => Err(setup(format_args!(
            "a configured certificate is not PEM ({error})"
        ))),
    }
}

/// `strict-ssl=false`: whoever answers is believed.
#[derive(Debug)]
struct Unverified(Arc<CryptoProvider>);

impl ServerCertVerifier for Unverified {
    fn verify_server_cert(
        &self,
        _end_entity: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.0.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::install::config::{CliOverrides, Config, Environment};

    /// The network settings of a project whose user has the lines `npmrc`.
    fn network(npmrc: &str) -> NetworkConfig {
        let home = tempfile::tempdir().expect("a directory");
        std::fs::write(home.path().join(".npmrc"), npmrc).expect("written");
        let variables = [("HOME".into(), home.path().into())];
        let environment = Environment::new(variables, home.path().to_path_buf());
        let overrides = CliOverrides::default();
        Config::load(&environment, &overrides, home.path())
            .expect("loaded")
            .network
    }

    #[test]
    fn certificates_that_are_none_are_refused_when_tls_is_needed() {
        for (npmrc, expected) in [
            ("cafile=/does/not/exist", "/does/not/exist"),
            ("ca=x", "no PEM block"),
            (
                "ca=-----BEGIN CERTIFICATE-----\\nAAAA\\n-----END CERTIFICATE-----",
                "",
            ),
            ("cert=x\nkey=y", ""),
            ("cert=x", "only one"),
            ("key=hunter2", "only one"),
        ] {
            let network = network(npmrc);
            let result = client_config(&network, &network.tls, Authorities::Trusted);
            let message = result.expect_err(npmrc).to_string();
            assert!(message.contains(expected), "{npmrc}: {message}");
            assert!(!message.contains("hunter2"), "{message}");
        }
    }

    #[test]
    fn authorities_are_not_read_where_none_are_needed() {
        let plain = network("cafile=/does/not/exist");
        let identity = TlsIdentity::default();
        assert!(client_config(&plain, &identity, Authorities::None).is_ok());
        let lax = network("strict-ssl=false");
        assert!(client_config(&lax, &lax.tls, Authorities::Trusted).is_ok());
        assert!(!lax.strict_tls);
    }
}
