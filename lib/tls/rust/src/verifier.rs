// SPDX-License-Identifier: Apache-2.0
//! Judges a peer by chain, validity, revocation, pins and subject alternative names. A mesh peer is
//! named by its SPIFFE URI, not by the host name of the connection, so the host name takes part only
//! where the settings say so.

use std::cell::RefCell;
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};

use aws_lc_rs::digest;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{verify_tls12_signature, verify_tls13_signature, CryptoProvider};
use rustls::pki_types::{CertificateDer, ServerName, TrustAnchor, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use webpki::{
    CertRevocationList, EndEntityCert, KeyUsage, RevocationCheckDepth, RevocationOptionsBuilder,
};

use crate::certificate::{self, Identity};
use crate::failure::{Failure, Kind};
use crate::matching::{dns_name_matches, SanMatcher};

/// Verified chains remembered per context. A full table is emptied.
const VERIFIED_MAX: usize = 4096;
/// A remembered verdict is asked anew after this, since it does not know every validity in the chain.
const VERIFIED_SECONDS: u64 = 60;

#[derive(Clone, Default, Debug)]
pub struct Verdict {
    pub identity: Arc<Identity>,
    /// False where anything is accepted: the identity is a claim then.
    pub is_verified: bool,
}

thread_local! {
    /// The last verdict on this thread; taken by the session that ran it.
    static VERDICT: RefCell<Option<Result<Verdict, Failure>>> = const { RefCell::new(None) };
}

pub fn take_verdict() -> Option<Result<Verdict, Failure>> {
    VERDICT.with(|verdict| verdict.borrow_mut().take())
}

#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Role {
    Server,
    Client,
}

/// What is asked of a peer's certificate.
#[derive(Debug, Default)]
pub struct Rules {
    pub anchors: Vec<TrustAnchor<'static>>,
    /// SHA-256 of each trusted certificate: a peer may show one of them itself, CA or not.
    pub trusted: HashSet<[u8; 32]>,
    pub crls: Vec<CertRevocationList<'static>>,
    pub checks_leaf_crl_only: bool,
    pub sans: Vec<SanMatcher>,
    pub certificate_pins: Vec<[u8; 32]>,
    pub key_pins: Vec<[u8; 32]>,
    /// No chain is asked for; pins still are.
    pub is_chain_ignored: bool,
    /// What fails is accepted, but not as verified.
    pub accepts_untrusted: bool,
    pub allows_expired: bool,
    /// The name the client asked for stands in place of `sans`.
    pub matches_server_name: bool,
    pub depth_max: usize, // intermediate certificates
}

#[derive(Debug)]
pub struct PeerVerifier {
    pub provider: Arc<CryptoProvider>,
    pub rules: Rules,
    pub is_client_required: bool,
    pub verified: Mutex<HashMap<[u8; 32], (u64, Verdict)>>,
}

impl PeerVerifier {
    pub fn new(provider: Arc<CryptoProvider>, rules: Rules, is_client_required: bool) -> Self {
        PeerVerifier { provider, rules, is_client_required, verified: Mutex::default() }
    }

    /// `role` is the peer's. A chain that was judged lately is not judged again.
    pub fn judge(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        role: Role,
        server_name: &str,
    ) -> Result<Verdict, Failure> {
        let name = if self.rules.matches_server_name { server_name } else { "" };
        let key = fingerprint(leaf, intermediates, name);
        if let Some(verdict) = self.remembered(&key, now) {
            return Ok(verdict);
        }
        let identity = Arc::new(certificate::parse(leaf).ok_or_else(malformed)?);
        let mut is_verified = !self.rules.is_chain_ignored || self.rules.has_pins();
        if let Err(failure) = self.rules.check(
            self.provider.signature_verification_algorithms.all,
            (leaf, intermediates, &identity),
            now,
            role,
            name,
        ) {
            if !self.rules.accepts_untrusted {
                return Err(failure);
            }
            is_verified = false;
        }
        let verdict = Verdict { identity, is_verified };
        self.remember(key, verdict.clone(), now);
        Ok(verdict)
    }

    fn judge_aloud(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        role: Role,
        server_name: &str,
    ) -> Result<(), Error> {
        let verdict = self.judge(leaf, intermediates, now, role, server_name);
        let result = match &verdict {
            Ok(_) => Ok(()),
            Err(failure) => Err(failure.certificate_error()),
        };
        VERDICT.with(|slot| *slot.borrow_mut() = Some(verdict));
        result
    }

    fn remembered(&self, key: &[u8; 32], now: UnixTime) -> Option<Verdict> {
        let verified = self.verified.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let (until, verdict) = verified.get(key)?;
        (now.as_secs() < *until).then(|| verdict.clone())
    }

    fn remember(&self, key: [u8; 32], verdict: Verdict, now: UnixTime) {
        let not_after = verdict.identity.not_after.max(0) as u64;
        let mut verified = self.verified.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if verified.len() >= VERIFIED_MAX {
            verified.clear();
        }
        verified.insert(key, (not_after.min(now.as_secs() + VERIFIED_SECONDS), verdict));
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

type Algorithms<'a> = &'a [&'a dyn rustls::pki_types::SignatureVerificationAlgorithm];
type Peer<'a> = (&'a CertificateDer<'a>, &'a [CertificateDer<'a>], &'a Identity);

impl Rules {
    fn has_pins(&self) -> bool {
        !self.certificate_pins.is_empty() || !self.key_pins.is_empty()
    }

    fn check(
        &self,
        algorithms: Algorithms<'_>,
        peer: Peer<'_>,
        now: UnixTime,
        role: Role,
        server_name: &str,
    ) -> Result<(), Failure> {
        if !self.is_chain_ignored {
            self.check_chain(algorithms, peer, now, role)?;
            let (_, _, identity) = peer;
            if !identity.may_sign {
                return Err(Failure::new(
                    Kind::CertificateRefused,
                    "certificate refused: its key usage has no digital signatures",
                ));
            }
            self.check_names(identity, server_name)?;
        }
        self.check_pins(peer.0)
    }

    fn check_chain(
        &self,
        algorithms: Algorithms<'_>,
        peer: Peer<'_>,
        now: UnixTime,
        role: Role,
    ) -> Result<(), Failure> {
        let (leaf, intermediates, identity) = peer;
        if intermediates.len() > self.depth_max {
            return Err(Failure::new(Kind::CertificateRefused, "certificate chain is too long"));
        }
        let failure = match self.check_chain_at(algorithms, leaf, intermediates, now, role) {
            Ok(()) => return Ok(()),
            Err(failure) => failure,
        };
        if self.crls.is_empty() && self.trusted.contains(&certificate::sha256(leaf)) {
            return self.check_trusted_leaf(identity, now, role);
        }
        let is_time = matches!(
            failure,
            webpki::Error::CertExpired { .. } | webpki::Error::CertNotValidYet { .. }
        );
        if is_time && self.allows_expired {
            // At some moment all of the chain was valid, or it never was a chain.
            let moments = std::iter::once(&**leaf).chain(intermediates.iter().map(|der| &**der));
            for moment in moments.filter_map(|der| certificate::parse(der)) {
                for at in [moment.not_before, moment.not_after] {
                    let at = UnixTime::since_unix_epoch(std::time::Duration::from_secs(at.max(0) as u64));
                    if self.check_chain_at(algorithms, leaf, intermediates, at, role).is_ok() {
                        return Ok(());
                    }
                }
            }
        }
        Err(Failure::of_chain(failure))
    }

    fn check_chain_at(
        &self,
        algorithms: Algorithms<'_>,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
        role: Role,
    ) -> Result<(), webpki::Error> {
        let crls: Vec<&CertRevocationList<'_>> = self.crls.iter().collect();
        let depth = if self.checks_leaf_crl_only {
            RevocationCheckDepth::EndEntity
        } else {
            RevocationCheckDepth::Chain
        };
        let revocation = RevocationOptionsBuilder::new(&crls).ok();
        let usage = match role {
            Role::Server => KeyUsage::server_auth(),
            Role::Client => KeyUsage::client_auth(),
        };
        EndEntityCert::try_from(leaf)?
            .verify_for_usage(
                algorithms,
                &self.anchors,
                intermediates,
                now,
                usage,
                revocation.map(|options| options.with_depth(depth).build()),
                None,
            )
            .map(|_| ())
    }

    /// The peer shows a certificate that is itself trusted: often self-signed, and a CA by OpenSSL's
    /// defaults, which a chain could not end in.
    fn check_trusted_leaf(
        &self,
        identity: &Identity,
        now: UnixTime,
        role: Role,
    ) -> Result<(), Failure> {
        let now = now.as_secs() as i64;
        if now > identity.not_after && !self.allows_expired {
            return Err(Failure::new(Kind::CertificateExpired, "certificate expired"));
        }
        if now < identity.not_before && !self.allows_expired {
            return Err(Failure::new(Kind::CertificateNotYetValid, "certificate not valid yet"));
        }
        let serves = identity.purposes.map_or(true, |purposes| match role {
            Role::Server => purposes.server,
            Role::Client => purposes.client,
        });
        if !serves {
            let text = "certificate refused: its extended key usage is another";
            return Err(Failure::new(Kind::CertificateRefused, text));
        }
        Ok(())
    }

    fn check_names(&self, identity: &Identity, server_name: &str) -> Result<(), Failure> {
        let is_match = if self.matches_server_name {
            let is_dns = identity.dns_sans.iter().any(|san| dns_name_matches(san, server_name));
            !server_name.is_empty() && (is_dns || identity.ip_sans.iter().any(|ip| ip == server_name))
        } else {
            self.sans.is_empty() || self.sans.iter().any(|matcher| matcher.matches(identity))
        };
        if is_match {
            return Ok(());
        }
        let shown = identity.uri_sans.first().or(identity.dns_sans.first());
        let shown = shown.or(identity.ip_sans.first()).or(identity.email_sans.first());
        let shown = shown.map_or("none", |san| san.as_str());
        Err(Failure::new(Kind::SanMismatch, format!("SAN mismatch: got {}", shown.escape_debug())))
    }

    fn check_pins(&self, leaf: &CertificateDer<'_>) -> Result<(), Failure> {
        let is_match = !self.has_pins()
            || self.certificate_pins.contains(&certificate::sha256(leaf))
            || certificate::key_hash(leaf).is_some_and(|hash| self.key_pins.contains(&hash));
        if is_match {
            return Ok(());
        }
        Err(Failure::new(Kind::PinMismatch, "certificate is none of those pinned"))
    }
}

fn malformed() -> Failure {
    Failure::new(Kind::CertificateRefused, "certificate is malformed")
}

fn fingerprint(
    leaf: &CertificateDer<'_>,
    intermediates: &[CertificateDer<'_>],
    server_name: &str,
) -> [u8; 32] {
    let mut context = digest::Context::new(&digest::SHA256);
    for der in std::iter::once(leaf).chain(intermediates) {
        context.update(&(der.len() as u64).to_le_bytes());
        context.update(der);
    }
    context.update(server_name.as_bytes());
    let mut key = [0; 32];
    key.copy_from_slice(context.finish().as_ref());
    key
}

pub fn name_text(name: &ServerName<'_>) -> String {
    match name {
        ServerName::DnsName(dns) => dns.as_ref().to_string(),
        _ => String::new(),
    }
}

impl ServerCertVerifier for PeerVerifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        _ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let name = name_text(server_name);
        self.judge_aloud(end_entity, intermediates, now, Role::Server, &name)?;
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
        self.judge_aloud(end_entity, intermediates, now, Role::Client, "")?;
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
