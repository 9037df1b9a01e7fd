// SPDX-License-Identifier: Apache-2.0
//! What a peer's certificate says of it.

use std::net::{Ipv4Addr, Ipv6Addr};

use aws_lc_rs::digest;
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{asn1_rs::Oid, OidRegistry};
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

use crate::Slice;

#[derive(Default, Debug)]
pub struct Identity {
    pub der: Box<[u8]>,
    pub hash: [u8; 32], // SHA-256 of `der`
    pub uri_sans: Vec<String>,
    pub dns_sans: Vec<String>,
    pub email_sans: Vec<String>,
    pub ip_sans: Vec<String>, // as text; IPv6 as RFC 5952 writes it
    pub common_name: String,
    pub subject: String,
    pub not_before: i64, // seconds since 1970
    pub not_after: i64,
    /// Its key usage, where it names one, includes signatures: all that our key exchanges ask for.
    pub may_sign: bool,
    /// Extended key usages, None where it names none.
    pub purposes: Option<Purposes>,
    /// `uri_sans` and `dns_sans` for the C side.
    pub uri_slices: Vec<Slice>,
    pub dns_slices: Vec<Slice>,
}

#[derive(Debug, Clone, Copy)]
pub struct Purposes {
    pub server: bool,
    pub client: bool,
}

pub fn parse(der: &[u8]) -> Option<Identity> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let subject = certificate.subject();
    let key_usage = certificate.key_usage().ok()?;
    let purposes = certificate.extended_key_usage().ok()?.map(|usage| Purposes {
        server: usage.value.any || usage.value.server_auth,
        client: usage.value.any || usage.value.client_auth,
    });
    let mut identity = Identity {
        der: der.into(),
        hash: sha256(der),
        subject: rfc2253(subject),
        common_name: last_common_name(subject),
        not_before: certificate.validity().not_before.timestamp(),
        not_after: certificate.validity().not_after.timestamp(),
        may_sign: key_usage.map_or(true, |usage| usage.value.digital_signature()),
        purposes,
        ..Identity::default()
    };
    // Lengths are those of the encoding: a NUL is a byte of the name like any other.
    if let Some(names) = certificate.subject_alternative_name().ok()? {
        for name in &names.value.general_names {
            match name {
                GeneralName::URI(uri) => identity.uri_sans.push(uri.to_string()),
                GeneralName::DNSName(dns) => identity.dns_sans.push(dns.to_string()),
                GeneralName::RFC822Name(email) => identity.email_sans.push(email.to_string()),
                GeneralName::IPAddress(bytes) => identity.ip_sans.extend(ip_text(bytes)),
                _ => {}
            }
        }
    }
    let slices = |names: &[String]| names.iter().map(|name| Slice::of(name.as_bytes())).collect();
    identity.uri_slices = slices(&identity.uri_sans);
    identity.dns_slices = slices(&identity.dns_sans);
    Some(identity)
}

/// SHA-256 of the SubjectPublicKeyInfo.
pub fn key_hash(der: &[u8]) -> Option<[u8; 32]> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    Some(sha256(certificate.public_key().raw))
}

pub fn sha256(bytes: &[u8]) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, bytes).as_ref());
    hash
}

fn ip_text(bytes: &[u8]) -> Option<String> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(Ipv4Addr::from(v4).to_string());
    }
    <[u8; 16]>::try_from(bytes).ok().map(|v6| Ipv6Addr::from(v6).to_string())
}

fn last_common_name(name: &X509Name) -> String {
    let last = name.iter_common_name().last();
    last.and_then(|attribute| attribute.as_str().ok()).unwrap_or("").to_string()
}

fn abbreviation(oid: &Oid) -> String {
    let known = [
        ("2.5.4.3", "CN"),
        ("2.5.4.6", "C"),
        ("2.5.4.7", "L"),
        ("2.5.4.8", "ST"),
        ("2.5.4.9", "STREET"),
        ("2.5.4.10", "O"),
        ("2.5.4.11", "OU"),
        ("0.9.2342.19200300.100.1.1", "UID"),
        ("0.9.2342.19200300.100.1.25", "DC"),
    ];
    let dotted = oid.to_id_string();
    match known.iter().find(|(id, _)| *id == dotted) {
        Some((_, name)) => name.to_string(),
        None => {
            let registry = OidRegistry::default().with_x509();
            registry.get(oid).map_or(dotted, |entry| entry.sn().to_string())
        }
    }
}

/// RFC 2253: most specific name first, special characters escaped.
fn rfc2253(name: &X509Name) -> String {
    let mut parts: Vec<String> = Vec::new();
    for rdn in name.iter_rdn() {
        let values: Vec<String> = rdn
            .iter()
            .map(|attribute| {
                let value = attribute.as_str().unwrap_or("");
                format!("{}={}", abbreviation(attribute.attr_type()), escape(value))
            })
            .collect();
        parts.push(values.join("+"));
    }
    parts.reverse();
    parts.join(",")
}

fn escape(value: &str) -> String {
    let mut out = String::with_capacity(value.len());
    let last = value.chars().count().saturating_sub(1);
    for (at, c) in value.chars().enumerate() {
        let at_edge = (at == 0 && (c == ' ' || c == '#')) || (at == last && c == ' ');
        if at_edge || matches!(c, ',' | '+' | '"' | '\\' | '<' | '>' | ';') {
            out.push('\\');
        }
        out.push(c);
    }
    out
}
