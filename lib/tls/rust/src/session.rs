// SPDX-License-Identifier: Apache-2.0
//! One connection's record layer: ciphertext in and out of the caller's buffers. Between calls nothing
//! is buffered here; what a call did not use stays with the caller.

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::server::{Acceptor, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{
    AlertDescription, CommonState, Error, HandshakeKind, ProtocolVersion, ServerConfig,
};
use std::sync::Arc;

use crate::context::{ClientContext, ServerContext};
use crate::failure::{looks_like_http, Failure, Kind};
use crate::records::{Kernel, Records};
use crate::resolver::{take_choice, Choice};
use crate::verifier::{name_text, take_verdict, PeerVerifier, Role, Verdict};
use crate::{Slice, Space};

//  Client, Server (the engine's handshake) ──done──▶ Open (records only) ──failed──▶ Ended
enum Side {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
    Open(Box<Records>),
    Ended,
}

/// What the handshake settled.
#[derive(Default)]
struct Facts {
    alpn: Box<[u8]>,
    version: &'static str,
    cipher: &'static str,
    group: &'static str,
    is_resumed: bool,
}

struct ServerChoice {
    strict: Arc<ServerConfig>,
    lenient: Arc<ServerConfig>,
}

/// A hello that is longer is given to the connection as it comes.
const HELLO_BYTES_MAX: usize = 16 * 1024;

pub struct Session {
    side: Side,
    /// A server's until the client has said which protocols it offers: the context.
    hello: Option<ServerChoice>,
    verifier: Option<Arc<PeerVerifier>>,
    failure: Failure,
    choice: Choice, // server side; the client's server_name is in it too
    peer: Verdict,
    facts: Facts,
    role: Role,      // the peer's
    has_input: bool, // the peer has said something
}

/// Everything one call reads and writes.
#[repr(C)]
pub struct Exchange {
    input: Space,       // ciphertext from the peer; decrypted in place or copied
    plain: Space,       // at least as large as `input`
    to_encrypt: Slice,  // plaintext for the peer
    cipher: Space,      // ciphertext for the peer
    is_closing: bool,   // send close_notify after `to_encrypt`
    // Results.
    consumed: usize,    // of `input`
    plain_size: usize,
    encrypted: usize,   // of `to_encrypt`
    cipher_size: usize,
    status: i32,        // 0 handshaking, 1 open, 2 peer closed, 3 failed
}

const HANDSHAKING: i32 = 0;
const OPEN: i32 = 1;
const PEER_CLOSED: i32 = 2;
const FAILED: i32 = 3;

struct Buffers<'a> {
    input: &'a mut [u8],
    plain: &'a mut [u8],
    to_encrypt: &'a [u8],
    cipher: &'a mut [u8],
}

/// The body of the ALPN extension (RFC 7301 §3.1) in a ClientHello that came in one record, as nearly
/// all do; empty when there is none. None: not such a hello, or not all of it.
fn alpn_offer(input: &[u8]) -> Option<&[u8]> {
    const ALPN: usize = 16;
    fn take(from: &mut &[u8], size: usize) -> Option<usize> {
        let (number, rest) = from.split_at_checked(size)?;
        *from = rest;
        Some(number.iter().fold(0, |sum, byte| sum << 8 | usize::from(*byte)))
    }
    fn block<'a>(from: &mut &'a [u8], size_bytes: usize) -> Option<&'a [u8]> {
        let size = take(from, size_bytes)?;
        let (block, rest) = from.split_at_checked(size)?;
        *from = rest;
        Some(block)
    }
    let mut rest = input;
    if take(&mut rest, 1)? != 22 || take(&mut rest, 2)? >> 8 != 3 {
        return None;
    }
    let mut message = block(&mut rest, 2)?;
    if take(&mut message, 1)? != 1 {
        return None;
    }
    let mut hello = block(&mut message, 3)?;
    hello = hello.get(34..)?; // version, random
    block(&mut hello, 1)?; // session id
    block(&mut hello, 2)?; // cipher suites
    block(&mut hello, 1)?; // compression methods
    if hello.is_empty() {
        return Some(&[]);
    }
    let mut extensions = block(&mut hello, 2)?;
    while !extensions.is_empty() {
        let kind = take(&mut extensions, 2)?;
        let mut body = block(&mut extensions, 2)?;
        if kind == ALPN {
            return block(&mut body, 2);
        }
    }
    Some(&[])
}

/// The same of any hello, joined of its records. None while it is incomplete; what is no hello has
/// no offer, and the connection itself says what is wrong.
fn slow_alpn_offer(input: &[u8]) -> Option<Vec<u8>> {
    let mut acceptor = Acceptor::default();
    let mut rest = input;
    while matches!(acceptor.read_tls(&mut rest), Ok(size) if size > 0) {
        match acceptor.accept() {
            Ok(None) => {}
            Err(_) => return Some(Vec::new()),
            Ok(Some(accepted)) => {
                let mut offer = Vec::new();
                for name in accepted.client_hello().alpn().into_iter().flatten() {
                    offer.push(name.len() as u8);
                    offer.extend_from_slice(name);
                }
                return Some(offer);
            }
        }
    }
    None
}

fn has_common_protocol(mut offer: &[u8], ours: &[Vec<u8>]) -> bool {
    if offer.is_empty() {
        return true;
    }
    while let Some((size, rest)) = offer.split_first() {
        let Some((name, rest)) = rest.split_at_checked(usize::from(*size)) else {
            return true;
        };
        if ours.iter().any(|own| own == name) {
            return true;
        }
        offer = rest;
    }
    false
}

fn encode_failure(error: EncodeError) -> Error {
    Error::General(format!("handshake flight too large: {error}"))
}

// The two sides have the same methods without a trait of their own in common.
macro_rules! run {
    ($connection:expr, $exchange:expr, $buffers:expr) => {{
        let connection = $connection;
        let exchange: &mut Exchange = $exchange;
        let buffers: &mut Buffers = $buffers;
        let mut failure = None;
        loop {
            let UnbufferedStatus { mut discard, state, .. } =
                connection.process_tls_records(&mut buffers.input[exchange.consumed..]);
            let mut is_done = false;
            match state {
                Err(error) => {
                    // Once more, for the alert that tells the peer.
                    is_done = failure.is_some();
                    failure.get_or_insert(error);
                }
                Ok(ConnectionState::ReadTraffic(mut traffic)) => {
                    while let Some(record) = traffic.next_record() {
                        match record {
                            Ok(record) => {
                                discard += record.discard;
                                let end = exchange.plain_size + record.payload.len();
                                buffers.plain[exchange.plain_size..end]
                                    .copy_from_slice(record.payload);
                                exchange.plain_size = end;
                            }
                            Err(error) => {
                                failure.get_or_insert(error);
                            }
                        }
                    }
                }
                Ok(ConnectionState::EncodeTlsData(mut data)) => {
                    match data.encode(&mut buffers.cipher[exchange.cipher_size..]) {
                        Ok(size) => exchange.cipher_size += size,
                        Err(error) => {
                            failure.get_or_insert(encode_failure(error));
                            is_done = true;
                        }
                    }
                }
                Ok(ConnectionState::TransmitTlsData(data)) => data.done(),
                Ok(ConnectionState::WriteTraffic(mut traffic)) => {
                    is_done = true;
                    let rest = &buffers.to_encrypt[exchange.encrypted..];
                    if !rest.is_empty() && failure.is_none() {
                        match traffic.encrypt(rest, &mut buffers.cipher[exchange.cipher_size..]) {
                            Ok(size) => {
                                exchange.cipher_size += size;
                                exchange.encrypted = buffers.to_encrypt.len();
                            }
                            Err(EncryptError::InsufficientSize(_)) => {}
                            Err(error) => {
                                failure.get_or_insert(Error::General(error.to_string()));
                            }
                        }
                    }
                    if exchange.is_closing {
                        exchange.is_closing = false;
                        let space = &mut buffers.cipher[exchange.cipher_size..];
                        if let Ok(size) = traffic.queue_close_notify(space) {
                            exchange.cipher_size += size;
                        }
                    }
                }
                Ok(ConnectionState::PeerClosed) => exchange.status = PEER_CLOSED,
                Ok(_) => is_done = true,
            }
            exchange.consumed += discard;
            if is_done {
                break;
            }
        }
        if let Some(error) = failure {
            Err(error)
        } else {
            if exchange.status != PEER_CLOSED && !connection.is_handshaking() {
                exchange.status = OPEN;
            }
            Ok(())
        }
    }};
}

impl Session {
    fn new(
        side: Side,
        hello: Option<ServerChoice>,
        verifier: Option<Arc<PeerVerifier>>,
        server_name: String,
    ) -> *mut Session {
        let role = if matches!(side, Side::Client(_)) { Role::Server } else { Role::Client };
        Box::into_raw(Box::new(Session {
            side,
            hello,
            verifier,
            failure: Failure::default(),
            choice: Choice { server_name, ..Choice::default() },
            peer: Verdict::default(),
            facts: Facts::default(),
            role,
            has_input: false,
        }))
    }

    fn common(&self) -> Option<&CommonState> {
        match &self.side {
            Side::Client(connection) => Some(connection),
            Side::Server(connection) => Some(connection),
            Side::Open(_) | Side::Ended => None,
        }
    }

    /// A client none of whose protocols we have goes on without one, as with BoringSSL and OpenSSL
    /// servers, whose callbacks choose nothing then; RFC 7301 §3.2 and rustls would end the
    /// connection. Envoy relies on it: without Istio's ALPN filter it offers "istio" to HTTP ports.
    /// False while the hello is incomplete.
    fn choose_config(&mut self, input: &[u8]) -> bool {
        let (Some(choice), Side::Server(connection)) = (&self.hello, &mut self.side) else {
            return true;
        };
        let has_common = match alpn_offer(input) {
            Some(offer) => has_common_protocol(offer, &choice.strict.alpn_protocols),
            None => match slow_alpn_offer(input) {
                Some(offer) => has_common_protocol(&offer, &choice.strict.alpn_protocols),
                None if input.len() < HELLO_BYTES_MAX => return false,
                None => true,
            },
        };
        if !has_common {
            if let Ok(other) = UnbufferedServerConnection::new(choice.lenient.clone()) {
                **connection = other;
            }
        }
        self.hello = None;
        true
    }

    fn run(&mut self, exchange: &mut Exchange, buffers: &mut Buffers) {
        let result = match &mut self.side {
            Side::Open(records) => run_open(records, exchange, buffers),
            Side::Ended => Err(self.failure.clone()),
            _ => self.run_handshake(exchange, buffers),
        };
        if let Err(failure) = result {
            exchange.status = FAILED;
            self.failure = failure;
            self.side = Side::Ended;
        }
    }

    fn run_handshake(
        &mut self,
        exchange: &mut Exchange,
        buffers: &mut Buffers,
    ) -> Result<(), Failure> {
        exchange.status = HANDSHAKING;
        if !self.choose_config(buffers.input) {
            return Ok(());
        }
        let is_http = !self.has_input && looks_like_http(buffers.input);
        self.has_input |= !buffers.input.is_empty();
        let was_handshaking = self.common().is_some_and(|common| common.is_handshaking());
        let result = match &mut self.side {
            Side::Client(connection) => run!(connection, exchange, buffers),
            Side::Server(connection) => run!(connection, exchange, buffers),
            Side::Open(_) | Side::Ended => Ok(()),
        };
        if let Some(choice) = take_choice() {
            self.choice = choice;
        }
        match (result, take_verdict()) {
            (Err(_), Some(Err(failure))) => return Err(failure),
            (Err(error), _) => return Err(self.explain(&error, is_http)),
            (Ok(()), Some(Ok(peer))) => self.peer = peer,
            (Ok(()), _) => {}
        }
        if was_handshaking && exchange.status != HANDSHAKING {
            self.learn_facts();
            self.judge_resumed(exchange, buffers)?;
        }
        // Input that is left may be opened in part already: the engine goes on then.
        if exchange.status == OPEN && exchange.consumed == buffers.input.len() {
            self.open()?;
        }
        Ok(())
    }

    fn explain(&self, error: &Error, is_http: bool) -> Failure {
        let has_read_hello = self.hello.is_none() && self.has_input;
        if self.role == Role::Client && has_read_hello && matches!(error, Error::General(_)) {
            let name = self.choice.server_name.escape_debug();
            let text = format!("no certificate for the server name \"{name}\"");
            return Failure::new(Kind::NoCertificateForName, text);
        }
        Failure::of_engine(error, is_http)
    }

    fn learn_facts(&mut self) {
        let Some(common) = self.common() else {
            return;
        };
        self.facts = Facts {
            alpn: common.alpn_protocol().unwrap_or(&[]).into(),
            version: match common.protocol_version() {
                Some(ProtocolVersion::TLSv1_2) => "TLSv1.2",
                Some(ProtocolVersion::TLSv1_3) => "TLSv1.3",
                _ => "",
            },
            cipher: cipher_name(common.negotiated_cipher_suite().map(|suite| suite.suite())),
            group: group_name(common.negotiated_key_exchange_group().map(|group| group.name())),
            is_resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
        };
    }

    /// A resumed session brings its peer's certificate along, and no signature: what is asked of the
    /// certificate today is asked of it again.
    fn judge_resumed(
        &mut self,
        exchange: &mut Exchange,
        buffers: &mut Buffers,
    ) -> Result<(), Failure> {
        let (true, Some(verifier)) = (self.facts.is_resumed, &self.verifier) else {
            return Ok(());
        };
        let chain = self.common().and_then(|common| common.peer_certificates());
        let verdict = match chain.and_then(|chain| chain.split_first()) {
            Some((leaf, rest)) => {
                let name = &self.choice.server_name;
                verifier.judge(leaf, rest, UnixTime::now(), self.role, name).map(Some)
            }
            None if self.role == Role::Client && !verifier.is_client_required => Ok(None),
            None => Err(Failure::new(Kind::NoCertificate, "no client certificate")),
        };
        match verdict {
            Ok(peer) => {
                self.peer = peer.unwrap_or_default();
                Ok(())
            }
            Err(failure) => {
                if exchange.status == OPEN && exchange.consumed == buffers.input.len() {
                    self.open()?;
                    if let Side::Open(records) = &mut self.side {
                        let space = &mut buffers.cipher[exchange.cipher_size..];
                        let size = records.write_alert(AlertDescription::BadCertificate, space);
                        exchange.cipher_size += size.unwrap_or(0);
                    }
                }
                Err(failure)
            }
        }
    }

    /// From here on only records go to and fro, and the engine's state goes.
    fn open(&mut self) -> Result<(), Failure> {
        let opened = match std::mem::replace(&mut self.side, Side::Ended) {
            Side::Client(connection) => connection
                .dangerous_into_kernel_connection()
                .map(|(secrets, kernel)| (secrets, Kernel::Client(kernel))),
            Side::Server(connection) => connection
                .dangerous_into_kernel_connection()
                .map(|(secrets, kernel)| (secrets, Kernel::Server(kernel))),
            other => {
                self.side = other;
                return Ok(());
            }
        };
        let is_13 = self.facts.version == "TLSv1.3";
        let records = opened.and_then(|(secrets, kernel)| Records::new(secrets, kernel, is_13));
        self.side = Side::Open(Box::new(
            records.map_err(|error| Failure::new(Kind::Other, error.to_string()))?,
        ));
        self.verifier = None;
        Ok(())
    }
}

fn run_open(
    records: &mut Records,
    exchange: &mut Exchange,
    buffers: &mut Buffers,
) -> Result<(), Failure> {
    let (read, result) = records.read(buffers.input, buffers.plain);
    exchange.consumed = read.consumed;
    exchange.plain_size = read.plain;
    exchange.status = if read.is_closed { PEER_CLOSED } else { OPEN };
    if let Err((failure, alert)) = result {
        exchange.cipher_size = records.write_alert(alert, buffers.cipher).unwrap_or(0);
        return Err(failure);
    }
    let of_engine = |error: Error| Failure::of_engine(&error, false);
    let mut used = records.write_owed(buffers.cipher).map_err(of_engine)?;
    if !buffers.to_encrypt.is_empty() {
        let size = records
            .write(buffers.to_encrypt, &mut buffers.cipher[used..])
            .map_err(of_engine)?;
        if size > 0 {
            exchange.encrypted = buffers.to_encrypt.len();
        }
        used += size;
    }
    if exchange.is_closing {
        exchange.is_closing = false;
        used += records.write_close(&mut buffers.cipher[used..]).map_err(of_engine)?;
    }
    exchange.cipher_size = used;
    Ok(())
}

/// The names access logs know: OpenSSL's.
fn cipher_name(suite: Option<rustls::CipherSuite>) -> &'static str {
    use rustls::CipherSuite as Suite;
    match suite {
        Some(Suite::TLS13_AES_128_GCM_SHA256) => "TLS_AES_128_GCM_SHA256",
        Some(Suite::TLS13_AES_256_GCM_SHA384) => "TLS_AES_256_GCM_SHA384",
        Some(Suite::TLS13_CHACHA20_POLY1305_SHA256) => "TLS_CHACHA20_POLY1305_SHA256",
        Some(Suite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256) => "ECDHE-ECDSA-AES128-GCM-SHA256",
        Some(Suite::TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384) => "ECDHE-ECDSA-AES256-GCM-SHA384",
        Some(Suite::TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256) => {
            "ECDHE-ECDSA-CHACHA20-POLY1305"
        }
        Some(Suite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256) => "ECDHE-RSA-AES128-GCM-SHA256",
        Some(Suite::TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384) => "ECDHE-RSA-AES256-GCM-SHA384",
        Some(Suite::TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256) => "ECDHE-RSA-CHACHA20-POLY1305",
        _ => "",
    }
}

fn group_name(group: Option<rustls::NamedGroup>) -> &'static str {
    use rustls::NamedGroup as Group;
    match group {
        Some(Group::X25519) => "X25519",
        Some(Group::secp256r1) => "P-256",
        Some(Group::secp384r1) => "P-384",
        Some(Group::X25519MLKEM768) => "X25519MLKEM768",
        _ => "",
    }
}

#[no_mangle]
pub extern "C" fn meltemi_tls_server_session_new(context: &ServerContext) -> *mut Session {
    let Ok(connection) = UnbufferedServerConnection::new(context.config.clone()) else {
        return std::ptr::null_mut();
    };
    let hello = context.config_without_alpn.as_ref().map(|lenient| ServerChoice {
        strict: context.config.clone(),
        lenient: lenient.clone(),
    });
    let verifier = context.verifier.clone();
    Session::new(Side::Server(Box::new(connection)), hello, verifier, String::new())
}

/// `alpn`: `alpn_count` protocols that override the context's; none keeps those. Null when the
/// server name is no name.
///
/// # Safety
/// Live bytes.
#[no_mangle]
pub unsafe extern "C" fn meltemi_tls_client_session_new(
    context: &ClientContext,
    server_name: Slice,
    alpn: *const Slice,
    alpn_count: usize,
) -> *mut Session {
    // An address is never sent as SNI (RFC 6066 §3), so it stands for "none".
    let name = match std::str::from_utf8(server_name.get()) {
        Ok("") => "0.0.0.0",
        Ok(name) => name,
        Err(_) => return std::ptr::null_mut(),
    };
    let Ok(name) = ServerName::try_from(name.to_string()) else {
        return std::ptr::null_mut();
    };
    let shown = name_text(&name);
    let config = context.config.clone();
    let connection = if alpn_count == 0 {
        UnbufferedClientConnection::new(config, name)
    } else {
        let protocols = std::slice::from_raw_parts(alpn, alpn_count);
        let protocols = protocols.iter().map(|protocol| protocol.get().to_vec()).collect();
        UnbufferedClientConnection::new_with_alpn(config, name, protocols)
    };
    match connection {
        Ok(connection) => {
            let verifier = Some(context.verifier.clone());
            Session::new(Side::Client(Box::new(connection)), None, verifier, shown)
        }
        Err(_) => std::ptr::null_mut(),
    }
}

/// # Safety
/// The session is not used again.
#[no_mangle]
pub unsafe extern "C" fn meltemi_tls_session_free(session: *mut Session) {
    drop(Box::from_raw(session));
}

/// # Safety
/// The exchange's buffers are live and do not overlap.
#[no_mangle]
pub unsafe extern "C" fn meltemi_tls_session_run(session: &mut Session, exchange: &mut Exchange) {
    let mut buffers = Buffers {
        input: exchange.input.get(),
        plain: exchange.plain.get(),
        to_encrypt: exchange.to_encrypt.get(),
        cipher: exchange.cipher.get(),
    };
    exchange.consumed = 0;
    exchange.plain_size = 0;
    exchange.encrypted = 0;
    exchange.cipher_size = 0;
    session.run(exchange, &mut buffers);
}

/// Valid while the session lives.
#[no_mangle]
pub extern "C" fn meltemi_tls_session_failure(session: &Session, text: &mut Slice) -> i32 {
    *text = Slice::of(session.failure.text.as_bytes());
    session.failure.kind as i32
}

/// Borrowed, of an identity.
#[repr(C)]
pub struct Slices {
    data: *const Slice,
    size: usize,
}

impl Slices {
    fn of(slices: &[Slice]) -> Slices {
        Slices { data: slices.as_ptr(), size: slices.len() }
    }
}

#[repr(C)]
pub struct Peer {
    alpn: Slice,
    server_name: Slice,
    version: Slice,
    cipher: Slice,
    group: Slice,
    certificate_der: Slice,
    certificate_hash: Slice,
    uri_sans: Slices,
    dns_sans: Slices,
    uri_san: Slice,
    dns_san: Slice,
    email_san: Slice,
    ip_san: Slice,
    subject: Slice,
    own_uri_san: Slice,
    own_dns_san: Slice,
    own_subject: Slice,
    is_resumed: bool,
    is_verified: bool,
}

/// Valid while the session lives. After the handshake.
#[no_mangle]
pub extern "C" fn meltemi_tls_session_peer(session: &Session, peer: &mut Peer) {
    let first = |names: &[String]| Slice::of(names.first().map_or(&[], |name| name.as_bytes()));
    let (identity, own, facts) = (&session.peer.identity, &session.choice.own, &session.facts);
    *peer = Peer {
        alpn: Slice::of(&facts.alpn),
        server_name: Slice::of(session.choice.server_name.as_bytes()),
        version: Slice::of(facts.version.as_bytes()),
        cipher: Slice::of(facts.cipher.as_bytes()),
        group: Slice::of(facts.group.as_bytes()),
        certificate_der: Slice::of(&identity.der),
        certificate_hash: Slice::of(if identity.der.is_empty() { &[] } else { &identity.hash }),
        uri_sans: Slices::of(&identity.uri_slices),
        dns_sans: Slices::of(&identity.dns_slices),
        uri_san: first(&identity.uri_sans),
        dns_san: first(&identity.dns_sans),
        email_san: first(&identity.email_sans),
        ip_san: first(&identity.ip_sans),
        subject: Slice::of(identity.subject.as_bytes()),
        own_uri_san: first(&own.uri_sans),
        own_dns_san: first(&own.dns_sans),
        own_subject: Slice::of(own.subject.as_bytes()),
        is_resumed: facts.is_resumed,
        is_verified: session.peer.is_verified,
    };
}
