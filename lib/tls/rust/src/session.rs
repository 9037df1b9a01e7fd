// SPDX-License-Identifier: Apache-2.0
//! One connection's record layer: ciphertext in and out of the caller's buffers. Between calls nothing
//! is buffered here; what a call did not use stays with the caller.

use rustls::client::UnbufferedClientConnection;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::{Acceptor, UnbufferedServerConnection};
use rustls::unbuffered::{ConnectionState, EncodeError, EncryptError, UnbufferedStatus};
use rustls::{CommonState, Error, HandshakeKind, ProtocolVersion, ServerConfig};
use std::sync::Arc;

use crate::context::{take_server_name, ClientContext, ServerContext};
use crate::{certificate, verifier, Slice, Space};

enum Side {
    Client(Box<UnbufferedClientConnection>),
    Server(Box<UnbufferedServerConnection>),
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
    failure: String,
    server_name: String,
    identity: certificate::Identity,
    cipher: String,
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
    fn new(side: Side, hello: Option<ServerChoice>) -> *mut Session {
        Box::into_raw(Box::new(Session {
            side,
            hello,
            failure: String::new(),
            server_name: String::new(),
            identity: certificate::Identity::default(),
            cipher: String::new(),
        }))
    }

    fn common(&self) -> &CommonState {
        match &self.side {
            Side::Client(connection) => connection,
            Side::Server(connection) => connection,
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
        let mut acceptor = Acceptor::default();
        let mut rest = input;
        let has_common = loop {
            if !matches!(acceptor.read_tls(&mut rest), Ok(size) if size > 0) {
                if input.len() < HELLO_BYTES_MAX {
                    return false;
                }
                break true;
            }
            match acceptor.accept() {
                Ok(None) => {}
                Err(_) => break true, // the connection itself says what is wrong
                Ok(Some(accepted)) => {
                    let offers = accepted.client_hello().alpn().map(|names| {
                        names.map(|name| name.to_vec()).collect::<Vec<_>>()
                    });
                    break offers.map_or(true, |names| {
                        names.is_empty() || names.iter().any(|name| choice.strict.alpn_protocols.contains(name))
                    });
                }
            }
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
        exchange.status = HANDSHAKING;
        if !self.choose_config(buffers.input) {
            return;
        }
        let is_first_byte_text = buffers.input.first().is_some_and(|byte| byte.is_ascii_uppercase());
        let is_new = self.common().is_handshaking();
        let result = match &mut self.side {
            Side::Client(connection) => run!(connection, exchange, buffers),
            Side::Server(connection) => run!(connection, exchange, buffers),
        };
        if let Some(name) = take_server_name() {
            self.server_name = name;
        }
        match result {
            Err(error) => {
                exchange.status = FAILED;
                let verdict = verifier::take_failure();
                self.failure = verdict.unwrap_or_else(|| explain(&error, is_first_byte_text));
            }
            Ok(()) if is_new && exchange.status != HANDSHAKING => self.learn_peer(),
            Ok(()) => {}
        }
    }

    fn learn_peer(&mut self) {
        let leaf = self.common().peer_certificates().and_then(|chain| chain.first());
        let identity = leaf.and_then(|leaf| certificate::parse(leaf));
        let suite = self.common().negotiated_cipher_suite().map(|s| format!("{:?}", s.suite()));
        self.identity = identity.unwrap_or_default();
        self.cipher = openssl_name(&suite.unwrap_or_default());
    }
}

/// The names access logs know.
fn openssl_name(suite: &str) -> String {
    if let Some(rest) = suite.strip_prefix("TLS13_") {
        return format!("TLS_{rest}");
    }
    let name = suite.trim_start_matches("TLS_").replace("_WITH_", "_");
    let name = name.replace("AES_", "AES").replace("CHACHA20_POLY1305_SHA256", "CHACHA20_POLY1305");
    name.replace('_', "-")
}

fn explain(error: &Error, is_first_byte_text: bool) -> String {
    use rustls::AlertDescription as Alert;
    match error {
        // No TLS record begins with a letter; an HTTP method or status line does.
        Error::InvalidMessage(_) if is_first_byte_text => "peer spoke plain HTTP".into(),
        Error::InvalidMessage(_) => "peer spoke no TLS, or a broken one".into(),
        Error::NoCertificatesPresented => "no client certificate".into(),
        Error::AlertReceived(Alert::CertificateRequired) => {
            "peer requires a client certificate".into()
        }
        Error::AlertReceived(Alert::UnknownCA) => "peer does not know our issuer".into(),
        Error::AlertReceived(Alert::CertificateExpired) => {
            "peer finds our certificate expired".into()
        }
        Error::AlertReceived(alert) => format!("peer sent alert {alert:?}"),
        Error::NoApplicationProtocol => "no common ALPN protocol".into(),
        other => {
            let text = other.to_string();
            text.chars().take(256).collect()
        }
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
    Session::new(Side::Server(Box::new(connection)), hello)
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
    let config = context.config.clone();
    let connection = if alpn_count == 0 {
        UnbufferedClientConnection::new(config, name)
    } else {
        let protocols = std::slice::from_raw_parts(alpn, alpn_count);
        let protocols = protocols.iter().map(|protocol| protocol.get().to_vec()).collect();
        UnbufferedClientConnection::new_with_alpn(config, name, protocols)
    };
    match connection {
        Ok(connection) => Session::new(Side::Client(Box::new(connection)), None),
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
pub extern "C" fn meltemi_tls_session_failure(session: &Session, text: &mut Slice) {
    *text = Slice::of(session.failure.as_bytes());
}

#[repr(C)]
pub struct Peer {
    alpn: Slice,
    server_name: Slice,
    version: Slice,
    cipher: Slice,
    certificate_der: Slice,
    uri_san: Slice,
    dns_san: Slice,
    subject: Slice,
    is_resumed: bool,
}

/// Valid while the session lives. After the handshake.
#[no_mangle]
pub extern "C" fn meltemi_tls_session_peer(session: &Session, peer: &mut Peer) {
    let common = session.common();
    let first = |names: &[String]| Slice::of(names.first().map_or(&[], |name| name.as_bytes()));
    let leaf = common.peer_certificates().and_then(|chain: &[CertificateDer]| chain.first());
    *peer = Peer {
        alpn: Slice::of(common.alpn_protocol().unwrap_or(&[])),
        server_name: Slice::of(session.server_name.as_bytes()),
        version: Slice::of(match common.protocol_version() {
            Some(ProtocolVersion::TLSv1_2) => b"TLSv1.2".as_slice(),
            Some(ProtocolVersion::TLSv1_3) => b"TLSv1.3".as_slice(),
            _ => &[],
        }),
        cipher: Slice::of(session.cipher.as_bytes()),
        certificate_der: Slice::of(leaf.map_or(&[], |leaf| leaf.as_ref())),
        uri_san: first(&session.identity.uri_sans),
        dns_san: first(&session.identity.dns_sans),
        subject: Slice::of(session.identity.subject.as_bytes()),
        is_resumed: common.handshake_kind() == Some(HandshakeKind::Resumed),
    };
}
