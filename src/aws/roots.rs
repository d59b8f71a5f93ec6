//! Loads the root certificates for connections to AWS, or to a proxy that inspects TLS.

use std::path::{Path, PathBuf};

use aws_smithy_http_client::tls::{TlsContext, TrustStore};
use rustls::RootCertStore;
use rustls::pki_types::CertificateDer;

/// Why there are no root certificates.
#[derive(Debug, thiserror::Error)]
pub(super) enum RootsError {
    /// The configured file has none.
    #[error(
        "no usable root certificates in {path} (named by AWS_CA_BUNDLE or ca_bundle){why}; set it to a readable file of PEM \
         certificates"
    )]
    Bundle {
        /// The file.
        path: String,
        /// The error of the operating system or the parser.
        why: String,
    },
    /// The platform has none.
    #[error(
        "no usable root certificates on this machine{why}; install the package ca-certificates, or set SSL_CERT_FILE or \
         AWS_CA_BUNDLE to a file of PEM certificates"
    )]
    Platform {
        /// The first error, if there was one.
        why: String,
    },
}

/// Loads the certificates that TLS trusts: only the bundle if there is one, as in every AWS SDK; else those of `SSL_CERT_FILE`
/// and `SSL_CERT_DIR`; else the platform's. Blocks on the disk.
pub(super) fn load(bundle: Option<&Path>) -> Result<TlsContext, RootsError> {
    let read = match bundle {
        Some(path) => rustls_native_certs::load_certs_from_paths(Some(path), None),
        None => rustls_native_certs::load_native_certs(),
    };
    // The SDK would panic on an unusable certificate, so each is tried first.
    let mut tried = RootCertStore::empty();
    let usable: Vec<_> = read.certs.into_iter().filter(|one| tried.add(one.clone()).is_ok()).collect();
    if usable.is_empty() {
        let why: String = read.errors.first().map(|error| format!(": {error}")).unwrap_or_default();
        return Err(match bundle {
            Some(path) => RootsError::Bundle { path: path.display().to_string(), why },
            None => RootsError::Platform { why },
        });
    }
    let trusted = TrustStore::empty().with_pem_certificate(pem(&usable));
    TlsContext::builder()
        .with_trust_store(trusted)
        .build()
        .map_err(|error| RootsError::Platform { why: format!(": {error}") })
}

/// The path of the bundle. An empty setting counts as unset.
pub(super) fn bundle(name: Option<String>) -> Option<PathBuf> {
    name.filter(|name| !name.trim().is_empty()).map(|name| PathBuf::from(name.trim()))
}

/// The SDK accepts only PEM.
fn pem(certificates: &[CertificateDer<'_>]) -> String {
    let mut text = String::new();
    for certificate in certificates {
        text.push_str("-----BEGIN CERTIFICATE-----\n");
        let encoded = aws_smithy_types::base64::encode(certificate);
        for start in (0..encoded.len()).step_by(PEM_LINE) {
            text.push_str(&encoded[start..encoded.len().min(start + PEM_LINE)]);
            text.push('\n');
        }
        text.push_str("-----END CERTIFICATE-----\n");
    }
    text
}

/// Characters in a line of PEM (RFC 7468).
const PEM_LINE: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    const AUTHORITY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/fixtures/tls/authority.pem");

    #[test]
    fn a_bundle_is_written_as_it_was_read() {
        let read = rustls_native_certs::load_certs_from_paths(Some(Path::new(AUTHORITY)), None);
        let text = std::fs::read_to_string(AUTHORITY).expect("it is in the repository");
        assert_eq!(pem(&read.certs), text);
        assert!(load(Some(Path::new(AUTHORITY))).is_ok());
    }

    #[test]
    fn bundles_without_certificates() {
        let folder = tempfile::tempdir().expect("a folder");
        let file = |name: &str, text: &str| {
            let path = folder.path().join(name);
            std::fs::write(&path, text).expect("written");
            path
        };
        let not_der = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let not_base64 = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
        for path in [
            file("empty", ""),
            file("text", "hello"),
            file("not-der", not_der),
            file("not-base64", not_base64),
            folder.path().join("missing"),
            folder.path().to_owned(),
        ] {
            let error = load(Some(&path)).expect_err("no certificates").to_string();
            assert!(
                error.contains(&path.display().to_string()) && error.contains("AWS_CA_BUNDLE"),
                "{error}"
            );
        }
    }
}
