// SPDX-License-Identifier: Apache-2.0
//! Sessions a client context may resume, the newest first; at most as many as the settings allow.

use std::collections::{HashMap, VecDeque};
use std::sync::Mutex;

use rustls::client::{ClientSessionStore, Tls12ClientSessionValue, Tls13ClientSessionValue};
use rustls::pki_types::ServerName;
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
