// SPDX-License-Identifier: Apache-2.0
//! Which certificate a server shows: those that name what the client asked for come first, an exact
//! name before a wildcard; among equals the client's abilities decide, ECDSA before RSA.

use std::cell::RefCell;
use std::sync::Arc;

use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{SignatureAlgorithm, SignatureScheme};

use crate::certificate::Identity;

/// What the hello asked for and what it got.
#[derive(Default, Clone)]
pub struct Choice {
    pub server_name: String,
    pub own: Arc<Identity>,
}

thread_local! {
    /// Of the last ClientHello on this thread; taken by the session that read it.
    static CHOICE: RefCell<Option<Choice>> = const { RefCell::new(None) };
}

pub fn take_choice() -> Option<Choice> {
    CHOICE.with(|choice| choice.borrow_mut().take())
}

#[derive(Debug)]
pub struct Entry {
    pub identity: Arc<Identity>,
    pub key: Arc<CertifiedKey>,
}

impl Entry {
    /// The common name counts where there are no DNS names, as in Envoy.
    fn names(&self) -> &[String] {
        if self.identity.dns_sans.is_empty() {
            std::slice::from_ref(&self.identity.common_name)
        } else {
            &self.identity.dns_sans
        }
    }

    fn has_exactly(&self, name: &str) -> bool {
        self.names().iter().any(|own| own.eq_ignore_ascii_case(name))
    }

    fn has_wildcard_of(&self, name: &str) -> bool {
        let Some((_, domain)) = name.split_once('.') else {
            return false;
        };
        self.names().iter().any(|own| {
            own.strip_prefix("*.").is_some_and(|rest| rest.eq_ignore_ascii_case(domain))
        })
    }

    fn is_usable(&self, schemes: &[SignatureScheme]) -> bool {
        self.key.key.choose_scheme(schemes).is_some()
    }
}

#[derive(Debug)]
pub struct Resolver {
    pub entries: Vec<Entry>,
    /// Where no certificate names what the client asked for, the best of all is taken, not the first.
    pub scans_all: bool,
    pub requires_name: bool,
}

/// Of `entries` that the client can use, an ECDSA one, else the first.
fn best<'a>(
    entries: impl Iterator<Item = &'a Entry> + Clone,
    schemes: &[SignatureScheme],
) -> Option<&'a Entry> {
    let mut usable = entries.filter(|entry| entry.is_usable(schemes));
    usable
        .clone()
        .find(|entry| entry.key.key.algorithm() == SignatureAlgorithm::ECDSA)
        .or_else(|| usable.next())
}

impl Resolver {
    fn find(&self, name: &str, schemes: &[SignatureScheme]) -> Option<&Entry> {
        let all = self.entries.iter();
        if !name.is_empty() {
            let exact = all.clone().filter(|entry| entry.has_exactly(name));
            let wild = all.clone().filter(|entry| entry.has_wildcard_of(name));
            let named = best(exact.clone(), schemes).or_else(|| best(wild.clone(), schemes));
            // One that the client cannot use makes the engine say what is missing.
            let named = named.or_else(|| exact.chain(wild).next().filter(|_| self.requires_name));
            if named.is_some() {
                return named;
            }
        }
        if self.requires_name {
            return None;
        }
        if name.is_empty() || self.scans_all {
            return best(all, schemes).or(self.entries.first());
        }
        // With none that the client can use the engine says what is missing.
        let mut all = all;
        all.clone().find(|entry| entry.is_usable(schemes)).or_else(|| all.next())
    }
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or("");
        let found = self.find(name, hello.signature_schemes());
        let choice = Choice {
            server_name: name.to_string(),
            own: found.map(|entry| entry.identity.clone()).unwrap_or_default(),
        };
        CHOICE.with(|slot| *slot.borrow_mut() = Some(choice));
        found.map(|entry| entry.key.clone())
    }
}
