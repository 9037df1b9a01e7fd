// SPDX-License-Identifier: Apache-2.0
//! Sessions kept for resumption: those a client context may resume, the newest first, and those of
//! a server context without tickets. At most as many as the settings allow.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;
use std::time::{Duration, Instant};

use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
use rustls::server::StoresServerSessions;
use rustls::NamedGroup;

/// Servers whose key exchange group is remembered. A full table is emptied.
const GROUPS_MAX: usize = 64;

#[derive(Debug, Default)]
struct Stored {
    tickets: VecDeque<(ServerName<'static>, Tls13ClientSessionValue)>,
    tls12: VecDeque<(ServerName<'static>, Tls12ClientSessionValue)>,
    groups: HashMap<ServerName<'static>, NamedGroup>,
}

#[derive(Debug)]
pub struct Sessions {
    max: usize,
    stored: Mutex<Stored>,
}

impl Sessions {
    pub fn new(max: usize) -> Sessions {
        Sessions { max, stored: Mutex::default() }
    }

    fn with<R>(&self, run: impl FnOnce(&mut Stored) -> R) -> R {
        run(&mut self.stored.lock().unwrap_or_else(|poisoned| poisoned.into_inner()))
    }
}

impl ClientSessionStore for Sessions {
    fn set_kx_hint(&self, server_name: ServerName<'static>, group: NamedGroup) {
        self.with(|stored| {
            if stored.groups.len() >= GROUPS_MAX {
                stored.groups.clear();
            }
            stored.groups.insert(server_name, group);
        });
    }

    fn kx_hint(&self, server_name: &ServerName<'_>) -> Option<NamedGroup> {
        self.with(|stored| stored.groups.get(server_name).copied())
    }

    fn set_tls12_session(&self, server_name: ServerName<'static>, value: Tls12ClientSessionValue) {
        self.with(|stored| {
            stored.tls12.retain(|(name, _)| *name != server_name);
            stored.tls12.push_front((server_name, value));
            stored.tls12.truncate(self.max);
        });
    }

    fn tls12_session(&self, server_name: &ServerName<'_>) -> Option<Tls12ClientSessionValue> {
        self.with(|stored| {
            let found = stored.tls12.iter().find(|(name, _)| name == server_name);
            found.map(|(_, value)| value.clone())
        })
    }

    fn remove_tls12_session(&self, server_name: &ServerName<'static>) {
        self.with(|stored| stored.tls12.retain(|(name, _)| name != server_name));
    }

    fn insert_tls13_ticket(&self, server_name: ServerName<'static>, value: Tls13ClientSessionValue) {
        self.with(|stored| {
            stored.tickets.push_front((server_name, value));
            stored.tickets.truncate(self.max);
        });
    }

    fn take_tls13_ticket(&self, server_name: &ServerName<'static>) -> Option<Tls13ClientSessionValue> {
        self.with(|stored| {
            let at = stored.tickets.iter().position(|(name, _)| name == server_name)?;
            stored.tickets.remove(at).map(|(_, value)| value)
        })
    }
}

/// A server's, by their id (RFC 5246 §7.3); the oldest makes room.
#[derive(Debug)]
pub struct ServerSessions {
    max: usize,
    lifetime: Duration,
    kept: Mutex<VecDeque<(Instant, Vec<u8>, Vec<u8>)>>, // since when, id, session; the newest last
}

impl ServerSessions {
    pub fn new(max: usize, seconds: u32) -> ServerSessions {
        let lifetime = Duration::from_secs(seconds.into());
        ServerSessions { max, lifetime, kept: Mutex::default() }
    }

    fn find(&self, id: &[u8], is_taken: bool) -> Option<Vec<u8>> {
        let mut kept = self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        while kept.front().is_some_and(|(since, ..)| since.elapsed() > self.lifetime) {
            kept.pop_front();
        }
        let at = kept.iter().rposition(|(_, of, _)| of == id)?;
        if is_taken {
            return kept.remove(at).map(|(.., session)| session);
        }
        kept.get(at).map(|(.., session)| session.clone())
    }
}

impl StoresServerSessions for ServerSessions {
    fn put(&self, id: Vec<u8>, session: Vec<u8>) -> bool {
        if self.max == 0 {
            return false;
        }
        let mut kept = self.kept.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        if kept.len() >= self.max {
            kept.pop_front();
        }
        kept.push_back((Instant::now(), id, session));
        true
    }

    fn get(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.find(id, false)
    }

    fn take(&self, id: &[u8]) -> Option<Vec<u8>> {
        self.find(id, true)
    }

    fn can_cache(&self) -> bool {
        self.max > 0
    }
}
