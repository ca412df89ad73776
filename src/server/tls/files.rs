//! Certificates and keys, read from PEM.
//!
//! Always true: an error names the parameter and its file; nothing is read but regular files of a sane length.

use std::fs::File;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use pkcs8::EncryptedPrivateKeyInfoRef;
use pkcs8::der::pem::decode_vec;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use rustls::sign::{CertifiedKey, SigningKey, SingleCertAndKey};
use rustls::{InconsistentKeys, RootCertStore};

use crate::config::Settings;

/// All authorities that a system trusts are less than half a megabyte.
const BYTES_MAX: u64 = 16 << 20;

const ENCRYPTED: &str = "-----BEGIN ENCRYPTED PRIVATE KEY-----";
const ENCRYPTED_END: &str = "-----END ENCRYPTED PRIVATE KEY-----";
/// How OpenSSL encrypted keys before PKCS#8.
const ENCRYPTED_OLD: &str = "Proc-Type: 4,ENCRYPTED";

/// The parameters that name a certificate and its key.
pub(super) struct Names {
    certificate: &'static str,
    key: &'static str,
    passphrase: &'static str,
}

pub(super) const SERVER: Names =
    Names { certificate: "tls-cert-file", key: "tls-key-file", passphrase: "tls-key-file-pass" };
pub(super) const CLIENT: Names =
    Names { certificate: "tls-client-cert-file", key: "tls-client-key-file", passphrase: "tls-client-key-file-pass" };

/// The certificate, those it leans on, and its key.
pub(super) fn certified(
    names: &Names,
    settings: &Settings,
    provider: &CryptoProvider,
) -> Result<Arc<SingleCertAndKey>, String> {
    let set = |name| settings.text(name).filter(|text| !text.is_empty());
    let path = |name| set(name).map(PathBuf::from).ok_or_else(|| format!("{name} is not set, and TLS needs it"));
    let (certificate, key_path) = (path(names.certificate)?, path(names.key)?);
    let chain = certificates(names.certificate, &certificate)?;
    let key = key(names, &key_path, set(names.passphrase))?;
    let key = provider.key_provider.load_private_key(key);
    let key = key.map_err(|error| format!("{} {}: {error}", names.key, key_path.display()))?;
    if !belong_together(&chain, &key) {
        let (certificate, key) = (certificate.display(), key_path.display());
        return Err(format!("{} {key}: it is not the key of the certificate in {certificate}", names.key));
    }
    Ok(Arc::new(SingleCertAndKey::from(CertifiedKey::new(chain, key))))
}

/// The authorities that sign the certificates of clients.
pub(super) fn authorities(settings: &Settings) -> Result<RootCertStore, String> {
    let mut roots = RootCertStore::empty();
    if let Some(path) = &settings.tls_ca_cert_file {
        for certificate in certificates("tls-ca-cert-file", path)? {
            roots.add(certificate).map_err(|error| format!("tls-ca-cert-file {}: {error}", path.display()))?;
        }
    }
    if let Some(directory) = &settings.tls_ca_cert_dir {
        let failed = |error| format!("tls-ca-cert-dir {}: {error}", directory.display());
        for entry in std::fs::read_dir(directory).map_err(failed)? {
            let found = certificates("tls-ca-cert-dir", &entry.map_err(failed)?.path());
            roots.add_parsable_certificates(found.unwrap_or_default());
        }
    }
    match (&settings.tls_ca_cert_file, &settings.tls_ca_cert_dir) {
        (None, None) => Err("clients have to show certificates (tls-auth-clients), so either tls-ca-cert-file or \
                             tls-ca-cert-dir must say whose; or set `tls-auth-clients no`"
            .into()),
        (_, Some(directory)) if roots.is_empty() => {
            Err(format!("tls-ca-cert-dir {}: no file in it holds a certificate", directory.display()))
        }
        _ => Ok(roots),
    }
}

fn certificates(name: &str, path: &Path) -> Result<Vec<CertificateDer<'static>>, String> {
    let bytes = read(name, path)?;
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(format!("{name} {}: there is no certificate in it", path.display())),
        Ok(found) => Ok(found),
        Err(error) => Err(format!("{name} {}: {error}", path.display())),
    }
}

fn key(names: &Names, path: &Path, passphrase: Option<&str>) -> Result<PrivateKeyDer<'static>, String> {
    let bytes = read(names.key, path)?;
    let failed = |reason: &str| format!("{} {}: {reason}", names.key, path.display());
    let text = String::from_utf8_lossy(&bytes);
    if let Some(from) = text.find(ENCRYPTED) {
        let until = text[from..].find(ENCRYPTED_END).ok_or_else(|| failed("it is cut off"))?;
        let text = &text[from..from + until + ENCRYPTED_END.len()];
        let passphrase = passphrase.ok_or_else(|| failed(&format!("it is encrypted: set {}", names.passphrase)))?;
        return decrypted(text, passphrase).map_err(|reason| failed(&reason));
    }
    if text.contains(ENCRYPTED_OLD) {
        let remedy =
            "it is encrypted in a form older than PKCS#8; `openssl pkcs8 -topk8` makes one of it that can be read";
        return Err(failed(remedy));
    }
    PrivateKeyDer::from_pem_slice(&bytes).map_err(|error| match error {
        rustls::pki_types::pem::Error::NoItemsFound => failed("there is no private key in it"),
        error => failed(&error.to_string()),
    })
}

fn decrypted(text: &str, passphrase: &str) -> Result<PrivateKeyDer<'static>, String> {
    // Its reader wants lines to end in one way only.
    let text = text.replace("\r\n", "\n");
    let (_, bytes) = decode_vec(text.as_bytes()).map_err(|error| error.to_string())?;
    let key = EncryptedPrivateKeyInfoRef::try_from(&bytes[..]).map_err(|error| {
        let remedy = "`openssl pkcs8 -topk8 -v2 aes-256-cbc` makes one of it that can be read";
        format!("it is encrypted in a way that is not supported ({error}); {remedy}")
    })?;
    let key =
        key.decrypt(passphrase).map_err(|error| format!("it cannot be decrypted with this passphrase: {error}"))?;
    Ok(PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.as_bytes().to_vec())))
}

/// Whether the first certificate is of this key.
fn belong_together(chain: &[CertificateDer<'static>], key: &Arc<dyn SigningKey>) -> bool {
    match CertifiedKey::new(chain.to_vec(), key.clone()).keys_match() {
        Ok(()) | Err(rustls::Error::InconsistentKeys(InconsistentKeys::Unknown)) => true,
        Err(rustls::Error::InconsistentKeys(_)) => false,
        // A certificate of version 1, which old scripts make, is not parsed; the key's bytes stand in it as they are.
        Err(_) => key.public_key().is_some_and(|public| {
            let public: &[u8] = public.as_ref();
            chain.first().is_some_and(|first| first.windows(public.len()).any(|bytes| bytes == public))
        }),
    }
}

fn read(name: &str, path: &Path) -> Result<Vec<u8>, String> {
    let failed = |error: &dyn std::fmt::Display| format!("{name} {}: {error}", path.display());
    // Opening a pipe would wait for whoever writes to it.
    if !std::fs::metadata(path).map_err(|error| failed(&error))?.is_file() {
        return Err(failed(&"it is not a file"));
    }
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(|error| failed(&error))?;
    file.take(BYTES_MAX + 1).read_to_end(&mut bytes).map_err(|error| failed(&error))?;
    if bytes.len() as u64 > BYTES_MAX { Err(failed(&"it is too large for PEM")) } else { Ok(bytes) }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Made by OpenSSL: the same key in several forms, encrypted with `secret`; a certificate of it; and another key.
    fn data(name: &str) -> PathBuf {
        Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/keys").join(name)
    }

    fn public(name: &str, passphrase: Option<&str>) -> Result<Vec<u8>, String> {
        let provider = rustls::crypto::ring::default_provider();
        let key = key(&SERVER, &data(name), passphrase)?;
        let key = provider.key_provider.load_private_key(key).map_err(|error| error.to_string())?;
        Ok(key.public_key().expect("a public key").to_vec())
    }

    #[test]
    fn keys_are_read_in_every_form() {
        let plain = public("plain.key", None).unwrap();
        for (name, passphrase) in [
            ("plain.key", Some("not needed")),
            ("sec1.key", None),
            ("pbkdf2.key", Some("secret")),
            ("scrypt.key", Some("secret")),
        ] {
            assert_eq!(public(name, passphrase).as_ref(), Ok(&plain), "{name}");
        }
        assert_ne!(public("other.key", None).unwrap(), plain);
    }

    #[test]
    fn what_cannot_be_decrypted_is_refused_with_a_reason() {
        for (name, passphrase, reason) in [
            ("pbkdf2.key", None, "it is encrypted: set tls-key-file-pass"),
            ("pbkdf2.key", Some("Secret"), "it cannot be decrypted with this passphrase"),
            ("scrypt.key", Some(""), "it cannot be decrypted with this passphrase"),
            ("triple-des.key", Some("secret"), "it is encrypted in a way that is not supported"),
            ("before-pkcs8.key", Some("secret"), "it is encrypted in a form older than PKCS#8"),
            ("version-1.crt", None, "there is no private key in it"),
        ] {
            let error = public(name, passphrase).unwrap_err();
            assert!(error.starts_with("tls-key-file /") && error.contains(reason), "{name}: {error}");
        }
    }

    #[test]
    fn certificates_of_version_1_are_told_from_others_keys_too() {
        let provider = rustls::crypto::ring::default_provider();
        let chain = certificates("tls-cert-file", &data("version-1.crt")).unwrap();
        for (name, expected) in [("plain.key", true), ("other.key", false)] {
            let key = provider.key_provider.load_private_key(key(&SERVER, &data(name), None).unwrap()).unwrap();
            assert_eq!(belong_together(&chain, &key), expected, "{name}");
        }
    }
}
