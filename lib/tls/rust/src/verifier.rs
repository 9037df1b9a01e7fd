// SPDX-License-Identifier: Apache-2.0
//! Judges a peer by chain, validity and subject alternative names. A mesh peer is named by its SPIFFE
//! URI, not by the host name of the connection, so the host name takes part only as a matcher.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use webpki::{EndEntityCert, KeyUsage};

use crate::certificate;

/// Verified chains remembered per context. A full table is emptied.
const VERIFIED_MAX: usize = 4096;
/// A remembered verdict is asked anew after this, since it does not know every validity in the chain.
const VERIFIED_SECONDS: u64 = 60;

thread_local! {
    /// Why the last verification on this thread failed; taken by the session that ran it.
    static FAILURE: RefCell<Option<String>> = const { RefCell::new(None) };
}

pub fn take_failure() -> Option<String> {
    FAILURE.with(|failure| failure.borrow_mut().take())
}

fn fail(text: String, error: CertificateError) -> Error {
    FAILURE.with(|failure| *failure.borrow_mut() = Some(text));
    Error::InvalidCertificate(error)
}

#[derive(Debug, Clone)]
pub enum SanMatcher {
    Exact(String),
    Prefix(String),
    Suffix(String),
    Contains(String),
}

impl SanMatcher {
    fn matches(&self, san: &str) -> bool {
        match self {
            SanMatcher::Exact(value) => san == value,
            SanMatcher::Prefix(value) => san.starts_with(value.as_str()),
            SanMatcher::Suffix(value) => san.ends_with(value.as_str()),
            SanMatcher::Contains(value) => san.contains(value.as_str()),
        }
    }

    /// DNS names know no case, and a certificate may name all hosts of a domain (RFC 6125 §6.4.3).
    fn matches_dns(&self, san: &str) -> bool {
        let san = san.to_ascii_lowercase();
        if let (SanMatcher::Exact(value), Some(domain)) = (self, san.strip_prefix("*.")) {
            return value.split_once('.').is_some_and(|(host, rest)| {
                !host.is_empty() && rest.eq_ignore_ascii_case(domain)
            });
        }
        match self {
            SanMatcher::Exact(value) => san.eq_ignore_ascii_case(value),
            _ => self.matches(&san),
        }
    }
}

#[derive(Debug)]
pub struct PeerVerifier {
    pub provider: Arc<CryptoProvider>,
    pub anchors: Vec<TrustAnchor<'static>>,
    pub sans: Vec<SanMatcher>,
    pub is_disabled: bool,
    pub is_client_required: bool,
    pub verified: Mutex<HashMap<[u8; 32], u64>>,
}

impl PeerVerifier {
    fn verify(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        usage: KeyUsage,
    ) -> Result<(), Error> {
        if self.is_disabled {
            return Ok(());
        }
        let key = fingerprint(leaf, intermediates);
        if self.is_remembered(&key, now) {
            return Ok(());
        }
        let parsed = EndEntityCert::try_from(leaf)
            .map_err(|_| fail("certificate is malformed".into(), CertificateError::BadEncoding))?;
        parsed
            .verify_for_usage(
                self.provider.signature_verification_algorithms.all,
                &self.anchors,
                intermediates,
                now,
                usage,
                None,
                None,
            )
            .map_err(explain)?;
        let identity = certificate::parse(leaf)
            .ok_or_else(|| fail("certificate is malformed".into(), CertificateError::BadEncoding))?;
        self.check_sans(&identity)?;
        self.remember(key, identity.not_after.max(0) as u64, now);
        Ok(())
    }

    fn check_sans(&self, identity: &certificate::Identity) -> Result<(), Error> {
        let is_match = self.sans.is_empty()
            || self.sans.iter().any(|matcher| {
                identity.uri_sans.iter().any(|san| matcher.matches(san))
                    || identity.dns_sans.iter().any(|san| matcher.matches_dns(san))
            });
        if is_match {
            return Ok(());
        }
        let got = identity.uri_sans.first().or(identity.dns_sans.first());
        let got: String = got.map_or("none".into(), |san| san.chars().take(256).collect());
        Err(fail(
            format!("SAN mismatch: got {got}"),
            CertificateError::NotValidForName,
        ))
    }

    fn is_remembered(&self, key: &[u8; 32], now: UnixTime) -> bool {
        let verified = self.verified.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        verified.get(key).is_some_and(|until| now.as_secs() < *until)
    }

    fn remember(&self, key: [u8; 32], not_after: u64, now: UnixTime) {
        let mut verified = self.verified.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if verified.len() >= VERIFIED_MAX {
            verified.clear();
        }
        verified.insert(key, not_after.min(now.as_secs() + VERIFIED_SECONDS));
    }

    fn check12(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls12_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }

    fn check13(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        verify_tls13_signature(message, cert, dss, &self.provider.signature_verification_algorithms)
    }
}

fn fingerprint(leaf: &CertificateDer<'_>, intermediates: &[CertificateDer<'_>]) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for der in std::iter::once(leaf).chain(intermediates) {
        context.update(&(der.len() as u64).to_le_bytes());
        context.update(der);
    }
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}

fn explain(error: webpki::Error) -> Error {
    match error {
        webpki::Error::CertExpired { .. } => {
            fail("certificate expired".into(), CertificateError::Expired)
        }
        webpki::Error::CertNotValidYet { .. } => {
            fail("certificate not valid yet".into(), CertificateError::NotValidYet)
        }
        webpki::Error::UnknownIssuer => fail("unknown issuer".into(), CertificateError::UnknownIssuer),
        other => fail(
            format!("certificate refused: {other}"),
            CertificateError::ApplicationVerificationFailure,
        ),
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        _server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        self.verify(end_entity, intermediates, now, KeyUsage::server_auth())?;
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

impl ClientCertVerifier for PeerVerifier {
    fn client_auth_mandatory(&self) -> bool {
        self.is_client_required
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        &[]
    }

    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        self.verify(end_entity, intermediates, now, KeyUsage::client_auth())?;
        Ok(ClientCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check12(message, cert, dss)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.check13(message, cert, dss)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}
