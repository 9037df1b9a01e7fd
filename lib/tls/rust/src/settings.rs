// SPDX-License-Identifier: Apache-2.0
//! Settings as the C side gathers them, before they become a context.

use std::ffi::c_void;

use crate::matching::{How, Regex, SanMatcher, Type};
use crate::ticketer::GIVEN_KEY_BYTES;
use crate::Slice;

#[derive(Default)]
pub struct Settings {
    pub certificates: Vec<(Vec<u8>, Vec<u8>)>, // PEM: chain, key
    pub trusted: Vec<Vec<u8>>,                 // PEM
    pub crls: Vec<Vec<u8>>,                    // PEM
    pub alpn: Vec<Vec<u8>>,
    pub sans: Vec<SanMatcher>,
    pub certificate_pins: Vec<[u8; 32]>,
    pub key_pins: Vec<[u8; 32]>,
    pub ticket_keys: Vec<[u8; GIVEN_KEY_BYTES]>,
    pub ciphers: Vec<u16>, // IANA's numbers, the preferred first; none: the defaults
    pub groups: Vec<u16>,
}

/// Both sides'; each has some of its own.
#[repr(C)]
#[derive(Clone, Copy)]
pub struct Options {
    pub version_min: i32, // 12 or 13
    pub version_max: i32,
    pub client_certificate: i32, // server: 0 none, 1 optional, 2 required
    pub tickets: u32,            // server
    pub ticket_seconds: u32,     // server
    pub sessions_max: u32,       // a server's are for TLS 1.2 without tickets
    pub depth_max: u32,
    pub is_chain_ignored: bool,
    pub accepts_untrusted: bool,
    pub allows_expired: bool,
    pub checks_leaf_crl_only: bool,
    pub matches_server_name: bool, // client
    pub prefers_client_ciphers: bool, // server
    pub scans_all_certificates: bool, // server
    pub requires_server_name: bool,   // server
}

#[no_mangle]
pub extern "C" fn meltemi_tls_settings_new() -> *mut Settings {
    Box::into_raw(Box::default())
}

/// # Safety
/// `settings` came from `meltemi_tls_settings_new` and is not used again.
#[no_mangle]
pub unsafe extern "C" fn meltemi_tls_settings_free(settings: *mut Settings) {
    drop(Box::from_raw(settings));
}

/// # Safety
/// Live settings, live bytes.
#[no_mangle]
pub unsafe extern "C" fn meltemi_tls_settings_certificate(
    settings: &mut Settings,
    chain: Slice,
    key: Slice,
) {
    settings.certificates.push((chain.get().to_vec(), key.get().to_vec()));
}

fn push_sized<const N: usize>(to: &mut Vec<[u8; N]>, bytes: &[u8]) -> bool {
    let Ok(sized) = bytes.try_into() else {
        return false;
    };
    to.push(sized);
    true
}

/// `item`: engine::Item. False when the bytes have another size than the item.
///
/// # Safety
/// Live settings, live bytes.
#[no_mangle]
pub unsafe extern "C" fn meltemi_tls_settings_add(
    settings: &mut Settings,
    item: i32,
    bytes: Slice,
) -> bool {
    let bytes = bytes.get();
    match item {
        0 => settings.trusted.push(bytes.to_vec()),
        1 => settings.crls.push(bytes.to_vec()),
        2 => settings.alpn.push(bytes.to_vec()),
        3 => return push_sized(&mut settings.certificate_pins, bytes),
        4 => return push_sized(&mut settings.key_pins, bytes),
        5 => return push_sized(&mut settings.ticket_keys, bytes),
        _ => return false,
    }
    true
}

#[no_mangle]
pub extern "C" fn meltemi_tls_settings_cipher(settings: &mut Settings, number: u16) {
    settings.ciphers.push(number);
}

#[no_mangle]
pub extern "C" fn meltemi_tls_settings_group(settings: &mut Settings, number: u16) {
    settings.groups.push(number);
}

#[repr(C)]
pub struct San {
    kind: i32, // tls::SanMatcher::Kind
    san: i32,  // tls::SanMatcher::Type
    ignores_case: bool,
    value: Slice,
    regex: *mut c_void, // taken over; kind is kRegex
    matches: Option<unsafe extern "C" fn(*const c_void, Slice) -> bool>,
    free: Option<unsafe extern "C" fn(*mut c_void)>,
}

/// # Safety
/// Live settings, live bytes, an expression with both its functions where the kind asks for one.
#[no_mangle]
pub unsafe extern "C" fn meltemi_tls_settings_san(settings: &mut Settings, san: &San) {
    let mut value = String::from_utf8_lossy(san.value.get()).into_owned();
    let how = match (san.kind, san.matches, san.free) {
        (4, Some(matches), Some(free)) => How::Regex(Regex { handle: san.regex, matches, free }),
        (0, ..) => How::Exact,
        (1, ..) => How::Prefix,
        (2, ..) => How::Suffix,
        _ => How::Contains,
    };
    let ignores_case = san.ignores_case && !matches!(how, How::Regex(_));
    if ignores_case {
        value.make_ascii_lowercase();
    }
    let types = [Type::Any, Type::Email, Type::Dns, Type::Uri, Type::Ip];
    let san = types.get(san.san as usize).copied().unwrap_or(Type::Any);
    settings.sans.push(SanMatcher { san, how, ignores_case, value });
}
