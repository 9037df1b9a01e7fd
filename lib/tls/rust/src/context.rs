// SPDX-License-Identifier: Apache-2.0
//! Settings gathered from the C side, and the immutable contexts built of them.

use std::cell::RefCell;
use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use rustls::crypto::{aws_lc_rs, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, ServerConfig, SupportedProtocolVersion};

use crate::verifier::{PeerVerifier, SanMatcher};
use crate::{certificate, copy_text, Slice, Space};

/// Sessions a client context remembers for resumption, by server name.
const RESUMPTIONS_MAX: usize = 256;

thread_local! {
    /// The name the last ClientHello on this thread asked for; taken by the session that read it.
    static SERVER_NAME: RefCell<Option<String>> = const { RefCell::new(None) };
}

pub fn take_server_name() -> Option<String> {
    SERVER_NAME.with(|name| name.borrow_mut().take())
}

#[derive(Default)]
pub struct Settings {
    certificates: Vec<(Vec<u8>, Vec<u8>)>,
    trusted: Vec<Vec<u8>>,
    sans: Vec<SanMatcher>,
    alpn: Vec<Vec<u8>>,
}

pub struct ServerContext {
    pub config: Arc<ServerConfig>,
    /// The same without ALPN, for clients that offer protocols of which we have none.
    pub config_without_alpn: Option<Arc<ServerConfig>>,
}

pub struct ClientContext {
    pub config: Arc<ClientConfig>,
}

/// Several certificates: the one whose DNS name the client asked for, else the first.
#[derive(Debug)]
struct Resolver {
    certificates: Vec<(Vec<String>, Arc<CertifiedKey>)>,
}

impl ResolvesServerCert for Resolver {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().unwrap_or("");
        SERVER_NAME.with(|slot| *slot.borrow_mut() = Some(name.to_string()));
        let named = self.certificates.iter().find(|(names, _)| {
            names.iter().any(|san| match san.strip_prefix("*.") {
                Some(domain) => name.split_once('.').is_some_and(|(_, rest)| rest == domain),
                None => san == name,
            })
        });
        named.or(self.certificates.first()).map(|(_, key)| key.clone())
    }
}

fn provider() -> Arc<CryptoProvider> {
    Arc::new(aws_lc_rs::default_provider())
}

fn versions(min: i32, max: i32) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let all = [(12, &rustls::version::TLS12), (13, &rustls::version::TLS13)];
    let chosen: Vec<_> =
        all.iter().filter(|(n, _)| (min..=max).contains(n)).map(|(_, v)| *v).collect();
    if chosen.is_empty() {
        return Err("no TLS version between the least and the greatest; 1.2 and 1.3 exist".into());
    }
    Ok(chosen)
}

fn certified_key(
    chain: &[u8],
    key: &[u8],
    provider: &CryptoProvider,
) -> Result<CertifiedKey, String> {
    let chain: Vec<CertificateDer<'static>> = CertificateDer::pem_slice_iter(chain)
        .collect::<Result<_, _>>()
        .map_err(|error| format!("certificate chain is not PEM: {error}"))?;
    if chain.is_empty() {
        return Err("certificate chain holds no certificate".into());
    }
    // The error of a key parser says nothing of the key's bytes, but is left out all the same.
    let key = PrivateKeyDer::from_pem_slice(key)
        .map_err(|_| "private key is not PEM (PKCS#8, SEC1 or PKCS#1)".to_string())?;
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            "private key does not belong to the certificate".to_string()
        }
        other => format!("certificate or private key is unusable: {other}"),
    })?;
    Ok(certified)
}

impl Settings {
    fn verifier(
        &mut self,
        provider: &Arc<CryptoProvider>,
        is_disabled: bool,
        is_client_required: bool,
    ) -> Result<Arc<PeerVerifier>, String> {
        let mut anchors = Vec::new();
        for pem in &self.trusted {
            for der in CertificateDer::pem_slice_iter(pem) {
                let der = der.map_err(|error| format!("trusted CA is not PEM: {error}"))?;
                if let Ok(anchor) = webpki::anchor_from_trusted_cert(&der) {
                    anchors.push(anchor.to_owned());
                }
            }
        }
        if anchors.is_empty() && !is_disabled {
            return Err("no usable trusted CA certificate".into());
        }
        Ok(Arc::new(PeerVerifier {
            provider: provider.clone(),
            anchors,
            sans: std::mem::take(&mut self.sans),
            is_disabled,
            is_client_required,
            verified: Mutex::new(HashMap::new()),
        }))
    }

    fn server(&mut self, options: &ServerOptions) -> Result<ServerContext, String> {
        let provider = provider();
        let mut certificates = Vec::new();
        for (chain, key) in &self.certificates {
            let certified = certified_key(chain, key, &provider)?;
            let identity = certificate::parse(&certified.cert[0]).unwrap_or_default();
            certificates.push((identity.dns_sans, Arc::new(certified)));
        }
        if certificates.is_empty() {
            return Err("a server needs a certificate".into());
        }
        let verifier: Arc<dyn rustls::server::danger::ClientCertVerifier> =
            match options.client_certificate {
                0 => WebPkiClientVerifier::no_client_auth(),
                mode => self.verifier(&provider, options.is_disabled, mode == 2)?,
            };
        let versions = versions(options.version_min, options.version_max)?;
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions)
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(verifier)
            .with_cert_resolver(Arc::new(Resolver { certificates }));
        config.alpn_protocols = std::mem::take(&mut self.alpn);
        config.session_storage = Arc::new(NoServerSessionStorage {});
        config.send_tls13_tickets = options.tickets.max(0) as usize;
        if options.tickets > 0 {
            config.ticketer = aws_lc_rs::Ticketer::new().map_err(|error| error.to_string())?;
        }
        let config_without_alpn = (!config.alpn_protocols.is_empty()).then(|| {
            let mut other = config.clone();
            other.alpn_protocols.clear();
            Arc::new(other)
        });
        Ok(ServerContext { config: Arc::new(config), config_without_alpn })
    }

    fn client(&mut self, options: &ClientOptions) -> Result<ClientContext, String> {
        let provider = provider();
        let verifier = self.verifier(&provider, options.is_disabled, false)?;
        let versions = versions(options.version_min, options.version_max)?;
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier);
        let mut config = match self.certificates.first() {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let certified = Arc::new(certified_key(chain, key, &provider)?);
                builder.with_client_cert_resolver(Arc::new(
                    rustls::sign::SingleCertAndKey::from(certified),
                ))
            }
        };
        config.alpn_protocols = std::mem::take(&mut self.alpn);
        config.resumption = rustls::client::Resumption::in_memory_sessions(RESUMPTIONS_MAX);
        Ok(ClientContext { config: Arc::new(config) })
    }
}

#[repr(C)]
pub struct ServerOptions {
    client_certificate: i32, // 0 none, 1 optional, 2 required
    is_disabled: bool,
    version_min: i32,
    version_max: i32,
    tickets: i32,
}

#[repr(C)]
pub struct ClientOptions {
    is_disabled: bool,
    version_min: i32,
    version_max: i32,
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

/// # Safety
/// Live settings, live bytes.
#[no_mangle]
pub unsafe extern "C" fn meltemi_tls_settings_trust(settings: &mut Settings, pem: Slice) {
    settings.trusted.push(pem.get().to_vec());
}

/// # Safety
/// Live settings, live bytes.
#[no_mangle]
pub unsafe extern "C" fn meltemi_tls_settings_san(
    settings: &mut Settings,
    kind: i32,
    value: Slice,
) {
    let value = String::from_utf8_lossy(value.get()).into_owned();
    settings.sans.push(match kind {
        0 => SanMatcher::Exact(value),
        1 => SanMatcher::Prefix(value),
        2 => SanMatcher::Suffix(value),
        _ => SanMatcher::Contains(value),
    });
}

/// # Safety
/// Live settings, live bytes.
#[no_mangle]
pub unsafe extern "C" fn meltemi_tls_settings_alpn(settings: &mut Settings, protocol: Slice) {
    settings.alpn.push(protocol.get().to_vec());
}

fn finish<T>(built: Result<T, String>, error: &Space, error_size: &mut usize) -> *const T {
    match built {
        Ok(context) => Box::into_raw(Box::new(context)),
        Err(text) => {
            // Safety: the caller's buffer, see Space.
            *error_size = copy_text(&text, unsafe { error.get() });
            std::ptr::null()
        }
    }
}

/// Null and a message in `error` when the settings make no context.
#[no_mangle]
pub extern "C" fn meltemi_tls_server_context_new(
    settings: &mut Settings,
    options: &ServerOptions,
    error: Space,
    error_size: &mut usize,
) -> *const ServerContext {
    finish(settings.server(options), &error, error_size)
}

/// Null and a message in `error` when the settings make no context.
#[no_mangle]
pub extern "C" fn meltemi_tls_client_context_new(
    settings: &mut Settings,
    options: &ClientOptions,
    error: Space,
    error_size: &mut usize,
) -> *const ClientContext {
    finish(settings.client(options), &error, error_size)
}

/// # Safety
/// The context is not used again; sessions made of it live on.
#[no_mangle]
pub unsafe extern "C" fn meltemi_tls_server_context_free(context: *mut ServerContext) {
    drop(Box::from_raw(context));
}

/// # Safety
/// The context is not used again; sessions made of it live on.
#[no_mangle]
pub unsafe extern "C" fn meltemi_tls_client_context_free(context: *mut ClientContext) {
    drop(Box::from_raw(context));
}
