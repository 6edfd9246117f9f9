//! A private authority, and proxies with its certificates.

use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_rustls::rustls::ServerConfig;
use tokio_rustls::rustls::crypto::ring;
use tokio_rustls::rustls::pki_types::PrivateKeyDer;

/// A private authority, and proxies with its certificates.
pub(crate) struct Authority {
    runtime: tokio::runtime::Runtime,
    server: Arc<ServerConfig>,
    pub(crate) file: PathBuf,
}

impl Authority {
    pub(crate) fn new(dir: &Path) -> Authority {
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let key = rcgen::KeyPair::generate().unwrap();
        let file = dir.join("ca.pem");
        std::fs::write(&file, params.self_signed(&key).unwrap().pem()).unwrap();
        let issuer = rcgen::Issuer::new(params, key);
        let key = rcgen::KeyPair::generate().unwrap();
        let leaf = rcgen::CertificateParams::new(["127.0.0.1".to_owned()]).unwrap();
        let leaf = leaf.signed_by(&key, &issuer).unwrap();
        let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
        let server = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let server = server.with_safe_default_protocol_versions().unwrap().with_no_client_auth();
        let server = server.with_single_cert(vec![leaf.der().clone()], key).unwrap();
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(1).enable_all().build().unwrap();
        Authority { runtime, server: Arc::new(server), file }
    }

    /// Where a proxy will be.
    pub(crate) fn listen(&self) -> (std::net::TcpListener, SocketAddr) {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        listener.set_nonblocking(true).unwrap();
        let address = listener.local_addr().unwrap();
        (listener, address)
    }

    /// Passes on what comes there.
    pub(crate) fn forward(&self, listener: std::net::TcpListener, to: SocketAddr) {
        let acceptor = TlsAcceptor::from(self.server.clone());
        self.runtime.spawn(async move {
            let listener = TcpListener::from_std(listener)?;
            while let Ok((socket, _)) = listener.accept().await {
                let acceptor = acceptor.clone();
                tokio::spawn(async move {
                    let mut inner = TcpStream::connect(to).await?;
                    let mut outer = acceptor.accept(socket).await?;
                    copy_bidirectional(&mut outer, &mut inner).await
                });
            }
            Ok::<_, std::io::Error>(())
        });
    }
}
