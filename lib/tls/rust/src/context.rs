// SPDX-License-Identifier: Apache-2.0
//! The immutable contexts, built of settings.

use std::sync::Arc;

use aws_lc_rs::digest;
use rustls::client::Resumption;
use rustls::crypto::{aws_lc_rs as provider_of, CryptoProvider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::sign::CertifiedKey;
use rustls::{CipherSuite, ClientConfig, ProtocolVersion, ServerConfig, SupportedProtocolVersion};

use crate::resolver::{Entry, Resolver};
use crate::sessions::{ServerSessions, Sessions};
use crate::settings::{Options, Settings};
use crate::ticketer::Ticketer;
use crate::verifier::{PeerVerifier, Rules};
use crate::{certificate, copy_text, Space};

pub struct ServerContext {
    pub config: Arc<ServerConfig>,
    /// The same without ALPN, for clients that offer protocols of which we have none.
    pub config_without_alpn: Option<Arc<ServerConfig>>,
    pub verifier: Option<Arc<PeerVerifier>>,
}

pub struct ClientContext {
    pub config: Arc<ClientConfig>,
    pub verifier: Arc<PeerVerifier>,
}

fn versions(options: &Options) -> Result<Vec<&'static SupportedProtocolVersion>, String> {
    let all = [(12, &rustls::version::TLS12), (13, &rustls::version::TLS13)];
    let range = options.version_min..=options.version_max;
    let chosen: Vec<_> = all.iter().filter(|(n, _)| range.contains(n)).map(|(_, v)| *v).collect();
    if chosen.is_empty() {
        return Err("no TLS version between the least and the greatest; 1.2 and 1.3 exist".into());
    }
    Ok(chosen)
}

/// What is listed, in the order of the list; a version of which nothing is listed keeps its defaults.
fn provider(settings: &Settings) -> Arc<CryptoProvider> {
    let mut provider = provider_of::default_provider();
    // AES-128 before AES-256, as Envoy has it: a third less work and as good as unbreakable.
    provider.cipher_suites.sort_by_key(|suite| match suite.suite() {
        CipherSuite::TLS13_AES_128_GCM_SHA256
        | CipherSuite::TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256 => 0,
        CipherSuite::TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256 => 1,
        _ => 2,
    });
    for version in [ProtocolVersion::TLSv1_2, ProtocolVersion::TLSv1_3] {
        let of_version: Vec<_> = provider_of::ALL_CIPHER_SUITES
            .iter()
            .filter(|suite| suite.version().version == version)
            .collect();
        let listed: Vec<_> = settings
            .ciphers
            .iter()
            .filter_map(|n| of_version.iter().find(|suite| u16::from(suite.suite()) == *n))
            .map(|suite| **suite)
            .collect();
        if !listed.is_empty() {
            provider.cipher_suites.retain(|suite| suite.version().version != version);
            provider.cipher_suites.extend(listed);
        }
    }
    if !settings.groups.is_empty() {
        provider.kx_groups = settings
            .groups
            .iter()
            .filter_map(|n| {
                provider_of::ALL_KX_GROUPS.iter().find(|group| u16::from(group.name()) == *n)
            })
            .copied()
            .collect();
    }
    Arc::new(provider)
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
        .map_err(|_| "private key is not PEM (PKCS#8, SEC1 or PKCS#1, unencrypted)".to_string())?;
    let certified = CertifiedKey::from_der(chain, key, provider).map_err(|error| match error {
        rustls::Error::InconsistentKeys(_) => {
            "private key does not belong to the certificate".to_string()
        }
        other => format!("certificate or private key is unusable: {other}"),
    })?;
    Ok(certified)
}

impl Settings {
    fn rules(&mut self, options: &Options) -> Result<Rules, String> {
        let mut rules = Rules {
            sans: std::mem::take(&mut self.sans),
            certificate_pins: std::mem::take(&mut self.certificate_pins),
            key_pins: std::mem::take(&mut self.key_pins),
            checks_leaf_crl_only: options.checks_leaf_crl_only,
            is_chain_ignored: options.is_chain_ignored,
            accepts_untrusted: options.accepts_untrusted,
            allows_expired: options.allows_expired,
            matches_server_name: options.matches_server_name,
            depth_max: options.depth_max as usize,
            ..Rules::default()
        };
        for pem in &self.trusted {
            for der in CertificateDer::pem_slice_iter(pem) {
                let der = der.map_err(|error| format!("trusted CA is not PEM: {error}"))?;
                rules.trusted.insert(certificate::sha256(&der));
                if let Ok(anchor) = webpki::anchor_from_trusted_cert(&der) {
                    rules.anchors.push(anchor.to_owned());
                }
            }
        }
        if rules.anchors.is_empty() && !options.is_chain_ignored {
            return Err("no usable trusted CA certificate".into());
        }
        for pem in &self.crls {
            let before = rules.crls.len();
            for der in CertificateRevocationListDer::pem_slice_iter(pem) {
                let der = der.map_err(|error| format!("CRL is not PEM: {error}"))?;
                let crl = webpki::OwnedCertRevocationList::from_der(&der)
                    .map_err(|error| format!("CRL is unusable: {error}"))?;
                rules.crls.push(crl.into());
            }
            if rules.crls.len() == before {
                return Err("CRL holds no PEM block X509 CRL".into());
            }
        }
        Ok(rules)
    }

    /// What a session was verified against: where it differs, no ticket opens.
    fn binding(&self, options: &Options, rules: &Rules) -> [u8; 32] {
        let mut context = digest::Context::new(&digest::SHA256);
        let mut add = |bytes: &[u8]| {
            context.update(&(bytes.len() as u64).to_le_bytes());
            context.update(bytes);
        };
        let parts = [&self.trusted, &self.crls, &self.alpn];
        for part in parts {
            add(&part.len().to_le_bytes());
            part.iter().for_each(|bytes| add(bytes));
        }
        add(format!("{:?}", rules.sans).as_bytes());
        add(&rules.certificate_pins.concat());
        add(&rules.key_pins.concat());
        add(&[
            options.client_certificate as u8,
            options.is_chain_ignored.into(),
            options.accepts_untrusted.into(),
            options.allows_expired.into(),
            options.checks_leaf_crl_only.into(),
        ]);
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }

    fn resolver(&self, options: &Options, provider: &CryptoProvider) -> Result<Resolver, String> {
        let mut entries = Vec::new();
        for (chain, key) in &self.certificates {
            let key = certified_key(chain, key, provider)?;
            let identity = certificate::parse(&key.cert[0]).ok_or("certificate is malformed")?;
            entries.push(Entry { identity: Arc::new(identity), key: Arc::new(key) });
        }
        if entries.is_empty() {
            return Err("a server needs a certificate".into());
        }
        Ok(Resolver {
            entries,
            scans_all: options.scans_all_certificates,
            requires_name: options.requires_server_name,
        })
    }

    fn server(&mut self, options: &Options) -> Result<ServerContext, String> {
        let provider = provider(self);
        let resolver = self.resolver(options, &provider)?;
        let mut binding = [0; 32];
        let mut verifier = None;
        if options.client_certificate != 0 {
            let rules = self.rules(options)?;
            binding = self.binding(options, &rules);
            let is_required = options.client_certificate == 2;
            verifier = Some(Arc::new(PeerVerifier::new(provider.clone(), rules, is_required)));
        }
        let of_clients: Arc<dyn rustls::server::danger::ClientCertVerifier> = match &verifier {
            None => WebPkiClientVerifier::no_client_auth(),
            Some(verifier) => verifier.clone(),
        };
        let mut config = ServerConfig::builder_with_provider(provider)
            .with_protocol_versions(&versions(options)?)
            .map_err(|error| error.to_string())?
            .with_client_cert_verifier(of_clients)
            .with_cert_resolver(Arc::new(resolver));
        config.alpn_protocols = std::mem::take(&mut self.alpn);
        config.ignore_client_order = !options.prefers_client_ciphers;
        config.session_storage =
            Arc::new(ServerSessions::new(options.sessions_max as usize, options.ticket_seconds));
        config.enable_secret_extraction = true; // for records.rs
        config.send_tls13_tickets = options.tickets as usize;
        if options.tickets > 0 {
            let ticketer = Ticketer::new(&self.ticket_keys, &binding, options.ticket_seconds);
            config.ticketer = Arc::new(ticketer.ok_or("no random numbers for ticket keys")?);
        }
        let config_without_alpn = (!config.alpn_protocols.is_empty()).then(|| {
            let mut other = config.clone();
            other.alpn_protocols.clear();
            Arc::new(other)
        });
        Ok(ServerContext { config: Arc::new(config), config_without_alpn, verifier })
    }

    fn client(&mut self, options: &Options) -> Result<ClientContext, String> {
        let provider = provider(self);
        let rules = self.rules(options)?;
        let verifier = Arc::new(PeerVerifier::new(provider.clone(), rules, false));
        let builder = ClientConfig::builder_with_provider(provider.clone())
            .with_protocol_versions(&versions(options)?)
            .map_err(|error| error.to_string())?
            .dangerous()
            .with_custom_certificate_verifier(verifier.clone());
        let mut config = match self.certificates.first() {
            None => builder.with_no_client_auth(),
            Some((chain, key)) => {
                let certified = Arc::new(certified_key(chain, key, &provider)?);
                builder.with_client_cert_resolver(Arc::new(
                    rustls::sign::SingleCertAndKey::from(certified),
                ))
            }
        };
        config.enable_secret_extraction = true; // for records.rs
        config.alpn_protocols = std::mem::take(&mut self.alpn);
        config.resumption = match options.sessions_max {
            0 => Resumption::disabled(),
            max => Resumption::store(Arc::new(Sessions::new(max as usize))),
        };
        Ok(ClientContext { config: Arc::new(config), verifier })
    }
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
    options: &Options,
    error: Space,
    error_size: &mut usize,
) -> *const ServerContext {
    finish(settings.server(options), &error, error_size)
}

/// Null and a message in `error` when the settings make no context.
#[no_mangle]
pub extern "C" fn meltemi_tls_client_context_new(
    settings: &mut Settings,
    options: &Options,
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
