// SPDX-License-Identifier: Apache-2.0
//! Records of a connection whose handshake is over (RFC 8446 §5, RFC 5246 §6.2): the engine hands over
//! its traffic secrets as it would to a kernel, and with them goes all that a handshake needs. Records
//! are opened in place and sealed in the caller's buffers; nothing is allocated for application data.

use aws_lc_rs::aead::{self, Aad, LessSafeKey, Nonce, UnboundKey, NONCE_LEN};
use rustls::client::ClientConnectionData;
use rustls::kernel::KernelConnection;
use rustls::server::ServerConnectionData;
use rustls::{AlertDescription, ConnectionTrafficSecrets, Error, ExtractedSecrets};

use crate::failure::{Failure, Kind};

const HEADER_BYTES: usize = 5;
const TAG_BYTES: usize = 16;
const EXPLICIT_NONCE_BYTES: usize = 8; // AES-GCM in TLS 1.2 (RFC 5288 §3)
const FRAGMENT_BYTES_MAX: usize = 16 * 1024;
const EXPANSION_BYTES_MAX_13: usize = 256;
const EXPANSION_BYTES_MAX_12: usize = 2048;
/// A handshake message after the handshake: tickets and key updates.
const MESSAGE_BYTES_MAX: usize = 64 * 1024;
/// Records without application data in a row; more are an attack on our CPU.
const IDLE_RECORDS_MAX: u32 = 64;
/// Records under one key: below what AES-GCM allows (2^24.5, RFC 8446 §5.5).
const RECORDS_PER_KEY_MAX: u64 = 1 << 23;
/// TLS 1.2 has no other key; NIST SP 800-38D §8.3.
const RECORDS_MAX_12: u64 = 1 << 32;

const CHANGE_CIPHER_SPEC: u8 = 20;
const ALERT: u8 = 21;
const HANDSHAKE: u8 = 22;
const APPLICATION_DATA: u8 = 23;
const HELLO_REQUEST: u8 = 0;
const CLIENT_HELLO: u8 = 1;
const NEW_SESSION_TICKET: u8 = 4;
const KEY_UPDATE: u8 = 24;
const WARNING: u8 = 1;
const FATAL: u8 = 2;

pub enum Kernel {
    Client(KernelConnection<ClientConnectionData>),
    Server(KernelConnection<ServerConnectionData>),
}

struct Direction {
    key: LessSafeKey,
    iv: [u8; NONCE_LEN],
    sequence: u64,
    has_explicit_nonce: bool,
}

fn broken(text: &str, alert: AlertDescription) -> (Failure, AlertDescription) {
    (Failure::new(Kind::Other, text), alert)
}

type Refusal = (Failure, AlertDescription);

impl Direction {
    fn new(sequence: u64, secrets: &ConnectionTrafficSecrets, is_13: bool) -> Result<Self, Error> {
        let (algorithm, key, iv) = match secrets {
            ConnectionTrafficSecrets::Aes128Gcm { key, iv } => (&aead::AES_128_GCM, key, iv),
            ConnectionTrafficSecrets::Aes256Gcm { key, iv } => (&aead::AES_256_GCM, key, iv),
            ConnectionTrafficSecrets::Chacha20Poly1305 { key, iv } => {
                (&aead::CHACHA20_POLY1305, key, iv)
            }
            _ => return Err(Error::General("cipher of an unknown kind".into())),
        };
        let has_explicit_nonce =
            !is_13 && !matches!(secrets, ConnectionTrafficSecrets::Chacha20Poly1305 { .. });
        let unusable = || Error::General("traffic key is unusable".into());
        let key = UnboundKey::new(algorithm, key.as_ref()).map_err(|_| unusable())?;
        let iv = iv.as_ref().try_into().map_err(|_| unusable())?;
        Ok(Direction { key: LessSafeKey::new(key), iv, sequence, has_explicit_nonce })
    }

    /// RFC 8446 §5.3; of TLS 1.2's AES-GCM the last eight bytes go along with the record, and any
    /// value serves that does not come twice.
    fn nonce(&self) -> [u8; NONCE_LEN] {
        let mut nonce = self.iv;
        for (byte, of_sequence) in nonce[4..].iter_mut().zip(self.sequence.to_be_bytes()) {
            *byte ^= of_sequence;
        }
        nonce
    }

    fn overhead(&self, is_13: bool) -> usize {
        let nonce = if self.has_explicit_nonce { EXPLICIT_NONCE_BYTES } else { 0 };
        HEADER_BYTES + nonce + usize::from(is_13) + TAG_BYTES
    }
}

/// RFC 5246 §6.2.3.3.
fn aad_12(sequence: u64, kind: u8, size: usize) -> [u8; 13] {
    let mut aad = [0; 13];
    aad[..8].copy_from_slice(&sequence.to_be_bytes());
    aad[8..11].copy_from_slice(&[kind, 3, 3]);
    aad[11..].copy_from_slice(&(size as u16).to_be_bytes());
    aad
}

#[derive(Default)]
pub struct Read {
    pub consumed: usize,
    pub plain: usize,
    pub is_closed: bool,
}

pub struct Records {
    is_13: bool,
    read: Direction,
    write: Direction,
    kernel: Option<Kernel>, // TLS 1.3: keys change, tickets come
    message: Vec<u8>,       // a handshake message that came in part
    idle_records: u32,
    owes_key_update: bool,
    owes_no_renegotiation: bool,
}

impl Records {
    pub fn new(secrets: ExtractedSecrets, kernel: Kernel, is_13: bool) -> Result<Records, Error> {
        Ok(Records {
            is_13,
            read: Direction::new(secrets.rx.0, &secrets.rx.1, is_13)?,
            write: Direction::new(secrets.tx.0, &secrets.tx.1, is_13)?,
            kernel: is_13.then_some(kernel),
            message: Vec::new(),
            idle_records: 0,
            owes_key_update: false,
            owes_no_renegotiation: false,
        })
    }

    /// Opens all whole records of `input`. Their data goes to `plain`, which is as large.
    pub fn read(&mut self, input: &mut [u8], plain: &mut [u8]) -> (Read, Result<(), Refusal>) {
        let mut read = Read::default();
        while !read.is_closed {
            let rest = &mut input[read.consumed..];
            let size = match self.record_size(rest) {
                Ok(Some(size)) if size <= rest.len() => size,
                Ok(_) => break,
                Err(refusal) => return (read, Err(refusal)),
            };
            let (kind, at, length) = match self.open(&mut rest[..size]) {
                Ok(opened) => opened,
                Err(refusal) => return (read, Err(refusal)),
            };
            let content = &rest[at..at + length];
            if kind == APPLICATION_DATA && length > 0 {
                self.idle_records = 0;
                plain[read.plain..read.plain + length].copy_from_slice(content);
                read.plain += length;
            } else {
                match self.take_other(kind, content) {
                    Ok(is_closed) => read.is_closed = is_closed,
                    Err(refusal) => return (read, Err(refusal)),
                }
            }
            read.consumed += size;
        }
        (read, Ok(()))
    }

    fn record_size(&self, input: &[u8]) -> Result<Option<usize>, Refusal> {
        let Some(header) = input.first_chunk::<HEADER_BYTES>() else {
            return Ok(None);
        };
        let size = usize::from(u16::from_be_bytes([header[3], header[4]]));
        let expansion = if self.is_13 { EXPANSION_BYTES_MAX_13 } else { EXPANSION_BYTES_MAX_12 };
        if size > FRAGMENT_BYTES_MAX + expansion {
            return Err(broken("record too long", AlertDescription::RecordOverflow));
        }
        let is_expected = header[1] == 3
            && if self.is_13 {
                header[0] == APPLICATION_DATA
            } else {
                (ALERT..=APPLICATION_DATA).contains(&header[0])
            };
        if !is_expected {
            let alert = AlertDescription::UnexpectedMessage;
            let text = if header[0] == CHANGE_CIPHER_SPEC { "cipher change" } else { "record" };
            return Err(broken(&format!("unexpected {text} after the handshake"), alert));
        }
        Ok(Some(HEADER_BYTES + size))
    }

    /// Type, offset and length of what is in a whole record.
    fn open(&mut self, record: &mut [u8]) -> Result<(u8, usize, usize), Refusal> {
        let bad = || broken("record does not decrypt", AlertDescription::BadRecordMac);
        let side = &mut self.read;
        let kind = record[0];
        let mut start = HEADER_BYTES;
        let mut nonce = side.nonce();
        if side.has_explicit_nonce {
            let explicit = record.get(start..start + EXPLICIT_NONCE_BYTES).ok_or_else(bad)?;
            nonce[..4].copy_from_slice(&side.iv[..4]);
            nonce[4..].copy_from_slice(explicit);
            start += EXPLICIT_NONCE_BYTES;
        }
        let sealed = record.len().checked_sub(start + TAG_BYTES).ok_or_else(bad)?;
        let nonce = Nonce::assume_unique_for_key(nonce);
        let opened = if self.is_13 {
            let aad: [u8; HEADER_BYTES] = record[..HEADER_BYTES].try_into().map_err(|_| bad())?;
            side.key.open_in_place(nonce, Aad::from(aad), &mut record[start..])
        } else {
            let aad = aad_12(side.sequence, kind, sealed);
            side.key.open_in_place(nonce, Aad::from(aad), &mut record[start..])
        };
        let opened = opened.map_err(|_| bad())?;
        let mut length = opened.len();
        side.sequence += 1;
        if side.sequence == u64::MAX {
            return Err(broken("too many records", AlertDescription::InternalError));
        }
        let mut inner = kind;
        if self.is_13 {
            // The type stands behind the content and before the padding (RFC 8446 §5.4).
            let last = opened.iter().rposition(|byte| *byte != 0).ok_or_else(|| {
                broken("record without a type", AlertDescription::UnexpectedMessage)
            })?;
            inner = opened[last];
            length = last;
        }
        if length > FRAGMENT_BYTES_MAX {
            return Err(broken("record too long", AlertDescription::RecordOverflow));
        }
        Ok((inner, start, length))
    }

    /// What is no data. True when the peer has closed.
    fn take_other(&mut self, kind: u8, content: &[u8]) -> Result<bool, Refusal> {
        self.idle_records += 1;
        if self.idle_records > IDLE_RECORDS_MAX {
            return Err(broken("too many records without data", AlertDescription::UnexpectedMessage));
        }
        if kind != HANDSHAKE && !self.message.is_empty() {
            return Err(broken("record within a message", AlertDescription::UnexpectedMessage));
        }
        match kind {
            APPLICATION_DATA => Ok(false),
            ALERT => self.take_alert(content),
            HANDSHAKE => self.take_messages(content).map(|()| false),
            _ => Err(broken("record of an unknown type", AlertDescription::UnexpectedMessage)),
        }
    }

    fn take_alert(&self, content: &[u8]) -> Result<bool, Refusal> {
        let [level, description] = *content else {
            return Err(broken("alert is malformed", AlertDescription::DecodeError));
        };
        let description = AlertDescription::from(description);
        match description {
            AlertDescription::CloseNotify => Ok(true),
            AlertDescription::UserCanceled => Ok(false),
            // RFC 8446 §6: the level means nothing any more.
            _ if !self.is_13 && level == WARNING => Ok(false),
            _ => {
                let failure = Failure::of_engine(&Error::AlertReceived(description), false);
                Err((failure, AlertDescription::CloseNotify))
            }
        }
    }

    fn take_messages(&mut self, content: &[u8]) -> Result<(), Refusal> {
        if content.is_empty() || self.message.len() + content.len() > MESSAGE_BYTES_MAX {
            return Err(broken("message is malformed", AlertDescription::DecodeError));
        }
        let mut joined = std::mem::take(&mut self.message);
        joined.extend_from_slice(content);
        let mut rest = joined.as_slice();
        while let Some((&[kind, a, b, c], behind)) = rest.split_first_chunk::<4>() {
            let size = u32::from_be_bytes([0, a, b, c]) as usize;
            if size > MESSAGE_BYTES_MAX {
                return Err(broken("message is too long", AlertDescription::DecodeError));
            }
            let Some((payload, behind)) = behind.split_at_checked(size) else {
                break;
            };
            rest = behind;
            self.take_message(kind, payload, rest.is_empty())?;
        }
        self.message = rest.to_vec();
        Ok(())
    }

    fn take_message(&mut self, kind: u8, payload: &[u8], is_last: bool) -> Result<(), Refusal> {
        let unexpected = || broken("unexpected message", AlertDescription::UnexpectedMessage);
        match (&mut self.kernel, kind) {
            (Some(Kernel::Client(kernel)), NEW_SESSION_TICKET) => {
                kernel.handle_new_session_ticket(payload).map_err(|error| {
                    (Failure::of_engine(&error, false), AlertDescription::DecodeError)
                })
            }
            // Keys change between records only (RFC 8446 §5.1).
            (Some(_), KEY_UPDATE) if is_last => match payload {
                [asks @ (0 | 1)] => self.update_read_key(*asks == 1),
                _ => Err(broken("key update is malformed", AlertDescription::IllegalParameter)),
            },
            // A renegotiation is declined, and nothing more comes of it (RFC 5746 §4.5).
            (None, HELLO_REQUEST | CLIENT_HELLO) => {
                self.owes_no_renegotiation = true;
                Ok(())
            }
            _ => Err(unexpected()),
        }
    }

    fn update_read_key(&mut self, is_asked_back: bool) -> Result<(), Refusal> {
        let secrets = match &mut self.kernel {
            Some(Kernel::Client(kernel)) => kernel.update_rx_secret(),
            Some(Kernel::Server(kernel)) => kernel.update_rx_secret(),
            None => return Ok(()),
        };
        self.read = secrets
            .and_then(|(sequence, secrets)| Direction::new(sequence, &secrets, true))
            .map_err(|error| (Failure::of_engine(&error, false), AlertDescription::InternalError))?;
        self.owes_key_update |= is_asked_back;
        Ok(())
    }

    fn update_write_key(&mut self) -> Result<(), Error> {
        let (sequence, secrets) = match &mut self.kernel {
            Some(Kernel::Client(kernel)) => kernel.update_tx_secret()?,
            Some(Kernel::Server(kernel)) => kernel.update_tx_secret()?,
            None => return Err(Error::EncryptError), // TLS 1.2's keys do not change
        };
        self.write = Direction::new(sequence, &secrets, true)?;
        Ok(())
    }

    /// Answers to what was read. How much of `to` was used.
    pub fn write_owed(&mut self, to: &mut [u8]) -> Result<usize, Error> {
        let mut used = 0;
        if std::mem::take(&mut self.owes_no_renegotiation) {
            let alert = [WARNING, u8::from(AlertDescription::NoRenegotiation)];
            used += self.seal(ALERT, &alert, &mut to[used..])?;
        }
        let is_due = self.is_13 && self.write.sequence >= RECORDS_PER_KEY_MAX;
        if std::mem::take(&mut self.owes_key_update) || is_due {
            used += self.seal(HANDSHAKE, &[KEY_UPDATE, 0, 0, 1, 0], &mut to[used..])?;
            self.update_write_key()?;
        }
        Ok(used)
    }

    /// All of `data`, or nothing where `to` is too small for it.
    pub fn write(&mut self, data: &[u8], to: &mut [u8]) -> Result<usize, Error> {
        let records = data.len().div_ceil(FRAGMENT_BYTES_MAX);
        if data.len() + records * self.write.overhead(self.is_13) > to.len() {
            return Ok(0);
        }
        let mut used = 0;
        for fragment in data.chunks(FRAGMENT_BYTES_MAX) {
            used += self.seal(APPLICATION_DATA, fragment, &mut to[used..])?;
        }
        Ok(used)
    }

    pub fn write_close(&mut self, to: &mut [u8]) -> Result<usize, Error> {
        self.seal(ALERT, &[WARNING, u8::from(AlertDescription::CloseNotify)], to)
    }

    pub fn write_alert(&mut self, alert: AlertDescription, to: &mut [u8]) -> Result<usize, Error> {
        if alert == AlertDescription::CloseNotify {
            return Ok(0); // the peer's own alert ended it
        }
        self.seal(ALERT, &[FATAL, u8::from(alert)], to)
    }

    fn seal(&mut self, kind: u8, content: &[u8], to: &mut [u8]) -> Result<usize, Error> {
        let size = content.len() + self.write.overhead(self.is_13);
        if to.len() < size || self.write.sequence >= RECORDS_MAX_12 {
            return Err(Error::EncryptError);
        }
        let record = &mut to[..size];
        let outer = if self.is_13 { APPLICATION_DATA } else { kind };
        record[..3].copy_from_slice(&[outer, 3, 3]);
        record[3..5].copy_from_slice(&((size - HEADER_BYTES) as u16).to_be_bytes());
        let nonce = self.write.nonce();
        let mut start = HEADER_BYTES;
        if self.write.has_explicit_nonce {
            record[start..start + EXPLICIT_NONCE_BYTES].copy_from_slice(&nonce[4..]);
            start += EXPLICIT_NONCE_BYTES;
        }
        let end = size - TAG_BYTES;
        record[start..start + content.len()].copy_from_slice(content);
        let nonce = Nonce::assume_unique_for_key(nonce);
        let key = &self.write.key;
        let tag = if self.is_13 {
            record[start + content.len()] = kind;
            let aad: [u8; HEADER_BYTES] = [outer, 3, 3, record[3], record[4]];
            key.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut record[start..end])
        } else {
            let aad = aad_12(self.write.sequence, kind, content.len());
            key.seal_in_place_separate_tag(nonce, Aad::from(aad), &mut record[start..end])
        };
        record[end..].copy_from_slice(tag.map_err(|_| Error::EncryptError)?.as_ref());
        self.write.sequence += 1;
        Ok(size)
    }
}
