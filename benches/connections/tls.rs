//! TLS for both servers and their clients, with a certificate of its own.

use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::sync::Arc;

use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned};
use tempfile::TempDir;

/// A certificate, and the port where it is shown.
pub struct Setup {
    directory: TempDir,
    address: SocketAddr,
    client: Arc<ClientConfig>,
}

impl Setup {
    pub fn new() -> Self {
        let directory = tempfile::Builder::new().prefix("caskade-bench-").tempdir().expect("a temporary directory");
        let key = rcgen::KeyPair::generate().expect("a key");
        let params = rcgen::CertificateParams::new(vec!["localhost".into()]).expect("a name");
        let certificate = params.self_signed(&key).expect("a certificate");
        std::fs::write(directory.path().join("crt"), certificate.pem()).expect("to write the certificate");
        std::fs::write(directory.path().join("key"), key.serialize_pem()).expect("to write the key");
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from(certificate.der().to_vec())).expect("an authority");
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions();
        let client = builder.expect("versions").with_root_certificates(roots).with_no_client_auth();
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a free port");
        let address = listener.local_addr().expect("its address");
        Self { directory, address, client: Arc::new(client) }
    }

    /// What a server is told.
    pub fn arguments(&self) -> Vec<String> {
        let path = |name: &str| self.directory.path().join(name).display().to_string();
        let pairs = [
            ("--tls-port", self.address.port().to_string()),
            ("--tls-cert-file", path("crt")),
            ("--tls-key-file", path("key")),
            ("--tls-ca-cert-file", path("crt")),
            ("--tls-auth-clients", "no".to_owned()),
        ];
        pairs.into_iter().flat_map(|(name, value)| [name.to_owned(), value]).collect()
    }

    pub fn connect(&self) -> StreamOwned<ClientConnection, TcpStream> {
        let name = ServerName::try_from("localhost").expect("a name");
        let session = ClientConnection::new(self.client.clone(), name).expect("a session");
        StreamOwned::new(session, TcpStream::connect(self.address).expect("a connection"))
    }
}
