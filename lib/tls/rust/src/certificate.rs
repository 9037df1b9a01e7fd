// SPDX-License-Identifier: Apache-2.0
//! What a peer's certificate says of it.

use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::oid_registry::{asn1_rs::Oid, OidRegistry};
use x509_parser::prelude::FromDer;
use x509_parser::x509::X509Name;

#[derive(Default)]
pub struct Identity {
    pub uri_sans: Vec<String>,
    pub dns_sans: Vec<String>,
    pub subject: String,
    pub not_after: i64, // seconds since 1970
}

pub fn parse(der: &[u8]) -> Option<Identity> {
    let (_, certificate) = X509Certificate::from_der(der).ok()?;
    let mut identity = Identity {
        subject: rfc2253(certificate.subject()),
        not_after: certificate.validity().not_after.timestamp(),
        ..Identity::default()
    };
    if let Ok(Some(names)) = certificate.subject_alternative_name() {
        for name in &names.value.general_names {
            match name {
                GeneralName::URI(uri) => identity.uri_sans.push(uri.to_string()),
                GeneralName::DNSName(dns) => identity.dns_sans.push(dns.to_string()),
                _ => {}
            }
        }
    }
    Some(identity)
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
