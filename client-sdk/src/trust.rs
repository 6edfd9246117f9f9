//! Whose certificates are believed when hub, ledger or tower are asked over TLS (`https://`,
//! `wss://`): those of the public authorities that Mozilla lists, built in, so that it is the same
//! on every machine; and those of a private authority that is named.
//!
//! TLS keeps strangers from reading and lets nobody pretend to be that address. What binds money does
//! not rest on it: every proof, header and transaction is signed.

use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};

/// Why a file of certificates can't be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{file} holds no certificates of an authority (PEM) that can be used: {reason}")]
pub struct BadAuthority {
    /// Which file.
    pub file: String,
    /// What is wrong with it.
    pub reason: String,
}

/// See the module.
#[derive(Clone, Debug)]
pub struct Trust {
    config: Arc<ClientConfig>,
}

impl Default for Trust {
    fn default() -> Trust {
        Trust::of(public())
    }
}

fn public() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

impl Trust {
    fn of(roots: RootCertStore) -> Trust {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let versions = [&rustls::version::TLS13, &rustls::version::TLS12];
        let builder = ClientConfig::builder_with_provider(provider);
        // The provider has ciphers of both versions.
        #[expect(clippy::expect_used, reason = "only a provider without ciphers is refused")]
        let builder = builder.with_protocol_versions(&versions).expect("ring has both versions");
        let config = builder.with_root_certificates(roots).with_no_client_auth();
        Trust { config: Arc::new(config) }
    }

    /// The public authorities, and beside them those whose certificates are in this file (PEM).
    ///
    /// # Errors
    /// [`BadAuthority`].
    pub fn with_authority(file: &Path) -> Result<Trust, BadAuthority> {
        let bad = |reason: String| BadAuthority { file: file.display().to_string(), reason };
        let read = |error: rustls::pki_types::pem::Error| bad(error.to_string());
        let mut roots = public();
        let before = roots.len();
        for certificate in CertificateDer::pem_file_iter(file).map_err(read)? {
            let added = roots.add(certificate.map_err(read)?);
            added.map_err(|error| bad(error.to_string()))?;
        }
        if roots.len() == before {
            return Err(bad("there is no certificate in it".to_owned()));
        }
        Ok(Trust::of(roots))
    }

    pub(crate) fn config(&self) -> Arc<ClientConfig> {
        self.config.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_without_a_certificate_is_refused_by_name() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("ca.pem");
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        for text in ["", "no certificate", broken] {
            std::fs::write(&file, text).unwrap();
            let refused = Trust::with_authority(&file).unwrap_err();
            assert!(refused.to_string().contains("ca.pem holds no certificates"), "{refused}");
        }
        assert!(Trust::with_authority(&dir.path().join("none")).is_err());
    }
}
