//! The other side: a client that asks its own server whether it is well.
//!
//! Always true: it does not ask who answers, since it asks the server of its own settings.

use std::io;
use std::net::TcpStream;
use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    AlertDescription, ClientConfig, ClientConnection, DigitallySignedStruct, Error, SignatureScheme, StreamOwned,
};

use super::{ciphers, files};
use crate::config::Settings;

/// Puts TLS on a socket that is connected to the server of these settings.
pub(in crate::server) fn ask(
    socket: TcpStream,
    settings: &Settings,
) -> io::Result<StreamOwned<ClientConnection, TcpStream>> {
    let provider = Arc::new(ciphers::provider(settings).map_err(io::Error::other)?);
    let versions = ciphers::versions(settings).map_err(io::Error::other)?;
    // Without one, a server that wants to see one says so, which is an answer.
    let own = [&files::CLIENT, &files::SERVER].map(|names| files::certified(names, settings, &provider));
    let config = ClientConfig::builder_with_provider(provider.clone()).with_protocol_versions(&versions);
    let config = config.map_err(io::Error::other)?.dangerous();
    let config = config.with_custom_certificate_verifier(Arc::new(Anyone(provider)));
    let config = match own.into_iter().flatten().next() {
        Some(own) => config.with_client_cert_resolver(own),
        None => config.with_no_client_auth(),
    };
    // It is sent to nobody: addresses are not.
    let name = ServerName::from(socket.peer_addr()?.ip());
    let connection = ClientConnection::new(Arc::new(config), name).map_err(io::Error::other)?;
    Ok(StreamOwned::new(connection, socket))
}

/// Whether a server is there, and wants another certificate than this client has.
pub(in crate::server) fn refuses_only_certificate(error: &io::Error) -> bool {
    let refusal = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    matches!(
        refusal,
        Some(Error::AlertReceived(
            AlertDescription::CertificateRequired
                | AlertDescription::BadCertificate
                | AlertDescription::UnsupportedCertificate
                | AlertDescription::CertificateExpired
                | AlertDescription::CertificateRevoked
                | AlertDescription::CertificateUnknown
                | AlertDescription::UnknownCA
        ))
    )
}

/// Accepts every server. Since any certificate will do, so will any signature; and those of certificates of version 1 could
/// not be checked.
#[derive(Debug)]
struct Anyone(Arc<CryptoProvider>);

impl ServerCertVerifier for Anyone {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn verify_tls13_signature(
        &self,
        _: &[u8],
        _: &CertificateDer<'_>,
        _: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        Ok(HandshakeSignatureValid::assertion())
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}
