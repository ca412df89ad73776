//! Certificates, made for one test.

use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    date_time_ymd,
};
use rustls::crypto::ring::default_provider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore, SupportedProtocolVersion};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Whoever signs certificates.
pub struct Authority {
    issuer: Issuer<'static, KeyPair>,
    pub certificate: PathBuf,
    directory: PathBuf,
}

/// A certificate and its key.
#[derive(Clone)]
pub struct Pair {
    pub certificate: PathBuf,
    pub key: PathBuf,
}

impl Authority {
    /// Writes its certificate into the directory, and later those that it signs.
    pub fn new(name: &str, directory: &Path) -> Authority {
        let mut params = CertificateParams::new(Vec::new()).expect("no names");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, name);
        params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
        let key = KeyPair::generate().expect("a key");
        let path = write(directory, &format!("{name}.crt"), &params.self_signed(&key).expect("a certificate").pem());
        Authority { issuer: Issuer::new(params, key), certificate: path, directory: directory.to_owned() }
    }

    /// A certificate for `localhost`, as server and client.
    pub fn sign(&self, name: &str) -> Pair {
        self.sign_with(name, |_| {})
    }

    /// One whose time is over.
    pub fn sign_expired(&self, name: &str) -> Pair {
        self.sign_with(name, |params| {
            params.not_before = date_time_ymd(2001, 1, 1);
            params.not_after = date_time_ymd(2002, 1, 1);
        })
    }

    /// One for servers alone.
    pub fn sign_for_servers(&self, name: &str) -> Pair {
        self.sign_with(name, |params| params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth])
    }

    fn sign_with(&self, name: &str, change: impl FnOnce(&mut CertificateParams)) -> Pair {
        let mut params = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).expect("names");
        params.distinguished_name.push(DnType::CommonName, name);
        change(&mut params);
        let key = KeyPair::generate().expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        Pair {
            certificate: write(&self.directory, &format!("{name}.crt"), &certificate.pem()),
            key: write(&self.directory, &format!("{name}.key"), &key.serialize_pem()),
        }
    }

    /// A client that trusts this authority.
    pub fn client(&self, versions: &[&'static SupportedProtocolVersion], own: Option<&Pair>) -> Arc<ClientConfig> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(&self.certificate).expect("a certificate")).expect("an authority");
        let builder = ClientConfig::builder_with_provider(Arc::new(default_provider()));
        let builder = builder.with_protocol_versions(versions).expect("versions").with_root_certificates(roots);
        Arc::new(match own {
            None => builder.with_no_client_auth(),
            Some(own) => {
                let chain = vec![CertificateDer::from_pem_file(&own.certificate).expect("a certificate")];
                let key = PrivateKeyDer::from_pem_file(&own.key).expect("a key");
                builder.with_client_auth_cert(chain, key).expect("a pair")
            }
        })
    }
}

fn write(directory: &Path, name: &str, text: &str) -> PathBuf {
    let path = directory.join(name);
    fs::write(&path, text).expect("to write a file");
    path
}
