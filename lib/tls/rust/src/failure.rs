// SPDX-License-Identifier: Apache-2.0
//! Why a connection failed: a class for metrics and tests, and a few words for logs.

use rustls::{AlertDescription, CertificateError, Error, PeerIncompatible};

/// The numbers are tls::Failure's in lib/net/connection.h.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[repr(i32)]
pub enum Kind {
    #[default]
    None = 0,
    PeerSpokeHttp = 1,
    PeerSpokeNoTls = 2,
    CertificateExpired = 3,
    CertificateNotYetValid = 4,
    UnknownIssuer = 5,
    Revoked = 6,
    SanMismatch = 7,
    PinMismatch = 8,
    CertificateRefused = 9,
    NoCertificate = 10,
    NoSharedVersion = 11,
    NoSharedCipher = 12,
    NoSharedProtocol = 13,
    // 14 is the record layer's: the peer ended the connection.
    AlertReceived = 15,
    NoCertificateForName = 16,
    Other = 17,
}

#[derive(Debug, Clone, Default)]
pub struct Failure {
    pub kind: Kind,
    pub text: String,
}

const TEXT_CHARS_MAX: usize = 256;

impl Failure {
    pub fn new(kind: Kind, text: impl Into<String>) -> Failure {
        let text: String = text.into();
        Failure { kind, text: text.chars().take(TEXT_CHARS_MAX).collect() }
    }

    /// As the engine has to be told, so that it sends the alert that fits.
    pub fn certificate_error(&self) -> Error {
        Error::InvalidCertificate(match self.kind {
            Kind::CertificateExpired => CertificateError::Expired,
            Kind::CertificateNotYetValid => CertificateError::NotValidYet,
            Kind::UnknownIssuer => CertificateError::UnknownIssuer,
            Kind::Revoked => CertificateError::Revoked,
            Kind::SanMismatch => CertificateError::NotValidForName,
            _ => CertificateError::ApplicationVerificationFailure,
        })
    }

    pub fn of_chain(error: webpki::Error) -> Failure {
        match error {
            webpki::Error::CertExpired { .. } => {
                Failure::new(Kind::CertificateExpired, "certificate expired")
            }
            webpki::Error::CertNotValidYet { .. } => {
                Failure::new(Kind::CertificateNotYetValid, "certificate not valid yet")
            }
            webpki::Error::UnknownIssuer => Failure::new(Kind::UnknownIssuer, "unknown issuer"),
            webpki::Error::CertRevoked => Failure::new(Kind::Revoked, "certificate revoked"),
            webpki::Error::UnknownRevocationStatus => {
                Failure::new(Kind::CertificateRefused, "no CRL of the certificate's issuer")
            }
            webpki::Error::CrlExpired { .. } => {
                Failure::new(Kind::CertificateRefused, "the CRL of the certificate's issuer expired")
            }
            webpki::Error::UnsupportedCertVersion => Failure::new(
                Kind::CertificateRefused,
                "certificate refused: X.509 version 1 or 2, version 3 is needed",
            ),
            other => Failure::new(Kind::CertificateRefused, format!("certificate refused: {other}")),
        }
    }

    /// `looks_like_http`: of the first bytes the peer sent.
    pub fn of_engine(error: &Error, looks_like_http: bool) -> Failure {
        match error {
            Error::InvalidMessage(_) if looks_like_http => {
                Failure::new(Kind::PeerSpokeHttp, "peer spoke plain HTTP")
            }
            Error::InvalidMessage(_) => {
                Failure::new(Kind::PeerSpokeNoTls, "peer spoke no TLS, or a broken one")
            }
            Error::NoCertificatesPresented => {
                Failure::new(Kind::NoCertificate, "no client certificate")
            }
            Error::AlertReceived(alert) => Failure::of_alert(*alert),
            Error::NoApplicationProtocol => {
                Failure::new(Kind::NoSharedProtocol, "no common ALPN protocol")
            }
            Error::PeerIncompatible(why) => Failure::of_incompatible(why),
            other => Failure::new(Kind::Other, other.to_string()),
        }
    }

    fn of_alert(alert: AlertDescription) -> Failure {
        let text = match alert {
            AlertDescription::CertificateRequired => "peer requires a client certificate".into(),
            AlertDescription::UnknownCA => "peer does not know our issuer".into(),
            AlertDescription::CertificateExpired => "peer finds our certificate expired".into(),
            AlertDescription::CertificateRevoked => "peer finds our certificate revoked".into(),
            other => format!("peer sent alert {}", alert_name(other)),
        };
        Failure::new(Kind::AlertReceived, text)
    }

    fn of_incompatible(why: &PeerIncompatible) -> Failure {
        use PeerIncompatible as Why;
        match why {
            Why::Tls12NotOffered
            | Why::Tls12NotOfferedOrEnabled
            | Why::SupportedVersionsExtensionRequired
            | Why::ServerDoesNotSupportTls12Or13
            | Why::ServerTlsVersionIsDisabledByOurConfig
            // Looked for before the version; clients of TLS 1.1 have none.
            | Why::SignatureAlgorithmsExtensionRequired => {
                Failure::new(Kind::NoSharedVersion, "no TLS version in common")
            }
            Why::NoCipherSuitesInCommon => {
                Failure::new(Kind::NoSharedCipher, "no cipher suite in common")
            }
            Why::NoKxGroupsInCommon | Why::NamedGroupsExtensionRequired => {
                Failure::new(Kind::NoSharedCipher, "no key exchange group in common")
            }
            Why::NoSignatureSchemesInCommon
            | Why::NoCertificateRequestSignatureSchemesInCommon => {
                Failure::new(Kind::NoSharedCipher, "no signature algorithm in common")
            }
            other => Failure::new(Kind::Other, format!("peer is incompatible: {other:?}")),
        }
    }
}

/// RFC 8446 §6's spelling: "bad_certificate" of BadCertificate.
fn alert_name(alert: AlertDescription) -> String {
    let mut name = String::new();
    for c in format!("{alert:?}").chars() {
        if c.is_ascii_uppercase() && !name.is_empty() {
            name.push('_');
        }
        name.push(c.to_ascii_lowercase());
    }
    name.replace("b_a_d", "bad").replace("_m_a_c", "_mac").replace("_p_s_k_", "_psk_")
}

/// A request or status line: no TLS record begins with a letter.
pub fn looks_like_http(bytes: &[u8]) -> bool {
    const METHODS: [&[u8]; 9] = [
        b"GET ", b"POST ", b"PUT ", b"HEAD ", b"DELETE ", b"OPTIONS ", b"PATCH ", b"CONNECT ",
        b"TRACE ",
    ];
    bytes.starts_with(b"HTTP/")
        || bytes.starts_with(b"PRI * HTTP/2.0")
        || METHODS.iter().any(|method| bytes.starts_with(method))
}
