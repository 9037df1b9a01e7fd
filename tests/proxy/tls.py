"""TLS contexts for static bootstraps, and clients that say how a handshake with them went."""
import json
import socket
import ssl
import warnings

from proxies import TYPE, http_manager, listener


def transport(kind, **fields):
    return {"name": "envoy.transport_sockets.tls",
            "typed_config": {"@type": f"{TYPE}transport_sockets.tls.v3.{kind}TlsContext", **fields}}


def downstream(*pairs, validation=None, params=None, alpn=None, common=None, **fields):
    context = {"tls_certificates": [pair.envoy() for pair in pairs], **(common or {})}
    if validation is not None:
        context["validation_context"] = validation
    if params:
        context["tls_params"] = params
    if alpn:
        context["alpn_protocols"] = alpn
    return transport("Downstream", common_tls_context=context, **fields)


def upstream(pair=None, validation=None, params=None, alpn=None, common=None, **fields):
    context = {**(common or {})}
    if pair is not None:
        context["tls_certificates"] = [pair.envoy()]
    if validation is not None:
        context["validation_context"] = validation
    if params:
        context["tls_params"] = params
    if alpn:
        context["alpn_protocols"] = alpn
    return transport("Upstream", common_tls_context=context, **fields)


def ca(authority):
    return {"trusted_ca": {"filename": str(authority.certificate)}}


ANSWER = [{"match": {"prefix": "/"}, "direct_response": {"status": 200, "body": {"inline_string": "served"}}}]


def https(port, socket_, **fields):
    """A listener that ends TLS and answers by itself."""
    # A copy: what is shared would be written as an alias, and configuration has none.
    return json.loads(json.dumps(listener(port, http_manager(ANSWER), transport_socket=socket_, **fields)))


class Outcome:
    """What a client saw: `served`, or the error that ended it."""

    def __init__(self):
        self.served, self.error = False, ""
        self.version = self.cipher = self.alpn = self.certificate = self.session = None
        self.is_resumed = False

    def __repr__(self):
        return f"<{'served' if self.served else 'refused: ' + self.error} {self.version} {self.cipher}>"


def client_context(pair=None, least=None, most=None, ciphers=None, alpn=None):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    # OpenSSL's own defaults leave out what these tests want refused by the server.
    context.set_ciphers(f"{ciphers or 'ALL'}:@SECLEVEL=0")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # old versions are what shall be refused
        context.minimum_version = least or ssl.TLSVersion.TLSv1
        if most:
            context.maximum_version = most
    if alpn:
        context.set_alpn_protocols(alpn)
    if pair:
        context.load_cert_chain(pair.chain, pair.key)
    return context


def visit(port, context=None, sni="a.test", session=None):
    """One request. A server that does not like the client's certificate may say so only after a TLS 1.3 handshake."""
    outcome, context = Outcome(), context or client_context()
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
            with context.wrap_socket(raw, server_hostname=sni, session=session) as client:
                outcome.version, outcome.cipher = client.version(), client.cipher()[0]
                outcome.alpn = client.selected_alpn_protocol()
                outcome.certificate = client.getpeercert(binary_form=True)
                outcome.is_resumed = client.session_reused
                client.sendall(b"GET / HTTP/1.1\r\nhost: a.test\r\nconnection: close\r\n\r\n")
                answer = b""
                while not answer.endswith(b"served") and (more := client.recv(65536)):
                    answer += more
                outcome.session = client.session
                outcome.served = answer.startswith(b"HTTP/1.1 200")
                outcome.error = "" if outcome.served else answer[:100].decode(errors="replace")
    except OSError as error:
        outcome.error = str(error) or type(error).__name__
    return outcome


def common_name(der):
    """The CN of a certificate's subject, of those we make: the last UTF8String or PrintableString behind OID 2.5.4.3."""
    at = der.rindex(b"\x06\x03\x55\x04\x03") + 5
    return der[at + 2:at + 2 + der[at + 1]].decode()
