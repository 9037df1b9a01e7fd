// SPDX-License-Identifier: Apache-2.0
//! Session tickets of a server context (RFC 8446 §4.6.1): AES-256-GCM under keys that belong to what
//! the context asks of its peers, so that a ticket from before a change of roots or names opens
//! nothing. Given keys make tickets that other processes with the same keys and rules take.

use std::sync::RwLock;
use std::time::{SystemTime, UNIX_EPOCH};

use aws_lc_rs::aead::{Aad, LessSafeKey, Nonce, UnboundKey, AES_256_GCM, NONCE_LEN};
use aws_lc_rs::{hmac, rand};
use rustls::server::ProducesTickets;

const NAME_BYTES: usize = 16;
/// Envoy's: a name of 16 bytes, then two keys of 32.
pub const GIVEN_KEY_BYTES: usize = 80;
/// A made key seals for this long and opens for as long again.
const ROTATION_SECONDS: u64 = 12 * 3600;

struct Key {
    name: [u8; NAME_BYTES],
    aead: LessSafeKey,
}

struct Made {
    current: Key,
    previous: Option<Key>,
    until: u64,
}

enum Keys {
    Given(Vec<Key>), // the first seals
    Made(RwLock<Made>),
}

pub struct Ticketer {
    keys: Keys,
    lifetime: u32, // seconds
}

impl std::fmt::Debug for Ticketer {
    fn fmt(&self, to: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(to, "Ticketer({} s)", self.lifetime)
    }
}

fn now() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}

impl Key {
    fn new(name: [u8; NAME_BYTES], secret: &[u8]) -> Option<Key> {
        let aead = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, secret).ok()?);
        Some(Key { name, aead })
    }

    fn made() -> Option<Key> {
        let (mut name, mut secret) = ([0; NAME_BYTES], [0; 32]);
        rand::fill(&mut name).ok()?;
        rand::fill(&mut secret).ok()?;
        Key::new(name, &secret)
    }

    /// `binding`: what the context asks of a peer, in a hash.
    fn given(bytes: &[u8; GIVEN_KEY_BYTES], binding: &[u8; 32]) -> Option<Key> {
        let key = hmac::Key::new(hmac::HMAC_SHA256, &bytes[NAME_BYTES..]);
        let mut name = [0; NAME_BYTES];
        name.copy_from_slice(&bytes[..NAME_BYTES]);
        Key::new(name, hmac::sign(&key, binding).as_ref())
    }

    /// name, nonce, sealed (time of issue, `plain`)
    fn seal(&self, plain: &[u8]) -> Option<Vec<u8>> {
        let mut nonce = [0; NONCE_LEN];
        rand::fill(&mut nonce).ok()?;
        let mut sealed = Vec::with_capacity(8 + plain.len() + AES_256_GCM.tag_len());
        sealed.extend_from_slice(&now().to_be_bytes());
        sealed.extend_from_slice(plain);
        let aad = Aad::from(self.name);
        self.aead
            .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
            .ok()?;
        let mut ticket = Vec::with_capacity(NAME_BYTES + NONCE_LEN + sealed.len());
        ticket.extend_from_slice(&self.name);
        ticket.extend_from_slice(&nonce);
        ticket.extend_from_slice(&sealed);
        Some(ticket)
    }

    fn open(&self, ticket: &[u8], lifetime: u32) -> Option<Vec<u8>> {
        let sealed = ticket.strip_prefix(&self.name)?;
        let (nonce, sealed) = sealed.split_at_checked(NONCE_LEN)?;
        let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
        let mut bytes = sealed.to_vec();
        let opened = self.aead.open_in_place(nonce, Aad::from(self.name), &mut bytes).ok()?;
        let (issued, plain) = opened.split_at_checked(8)?;
        let issued = u64::from_be_bytes(issued.try_into().ok()?);
        let age = now().checked_sub(issued)?;
        (age <= u64::from(lifetime)).then(|| plain.to_vec())
    }
}

impl Ticketer {
    pub fn new(
        given: &[[u8; GIVEN_KEY_BYTES]],
        binding: &[u8; 32],
        lifetime: u32,
    ) -> Option<Ticketer> {
        let keys = if given.is_empty() {
            let until = now() + ROTATION_SECONDS;
            Keys::Made(RwLock::new(Made { current: Key::made()?, previous: None, until }))
        } else {
            Keys::Given(given.iter().map(|key| Key::given(key, binding)).collect::<Option<_>>()?)
        };
        Some(Ticketer { keys, lifetime })
    }

    fn rotate(made: &RwLock<Made>) {
        let is_due = |made: &Made| made.until <= now();
        if !made.read().is_ok_and(|made| is_due(&made)) {
            return;
        }
        let (Ok(mut made), Some(key)) = (made.write(), Key::made()) else {
            return;
        };
        if is_due(&made) {
            made.previous = Some(std::mem::replace(&mut made.current, key));
            made.until = now() + ROTATION_SECONDS;
        }
    }
}

impl ProducesTickets for Ticketer {
    fn enabled(&self) -> bool {
        true
    }

    fn lifetime(&self) -> u32 {
        self.lifetime
    }

    fn encrypt(&self, plain: &[u8]) -> Option<Vec<u8>> {
        match &self.keys {
            Keys::Given(keys) => keys.first()?.seal(plain),
            Keys::Made(made) => {
                Ticketer::rotate(made);
                made.read().ok()?.current.seal(plain)
            }
        }
    }

    fn decrypt(&self, ticket: &[u8]) -> Option<Vec<u8>> {
        match &self.keys {
            Keys::Given(keys) => keys.iter().find_map(|key| key.open(ticket, self.lifetime)),
            Keys::Made(made) => {
                Ticketer::rotate(made);
                let made = made.read().ok()?;
                let keys = std::iter::once(&made.current).chain(&made.previous);
                keys.into_iter().find_map(|key| key.open(ticket, self.lifetime))
            }
        }
    }
}
