"""x-forwarded-client-cert in its five modes, over mutual TLS, TLS and plain text, beside Envoy."""
import ssl
import subprocess

import pytest

from pairs import Pair
from proxies import http_manager, listener, typed

MODES = ["SANITIZE", "FORWARD_ONLY", "APPEND_FORWARD", "SANITIZE_SET", "ALWAYS_FORWARD_ONLY"]
DETAILS = {"none": {}, "subject": {"subject": True}, "all": {"subject": True, "uri": True, "dns": True, "cert": True}, "names": {"uri": True, "dns": True}}
SANS = {"one": "URI:spiffe://td/ns/a/sa/b", "many": "URI:spiffe://td/ns/a/sa/b,URI:https://x.example/?a=b,DNS:a.example,DNS:b.example", "bare": "DNS:only.example"}


def make(directory, name, san, subject, issuer=None):
    key, certificate = directory / f"{name}.key", directory / f"{name}.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", certificate, "-days", "2", "-subj", subject]
    if san:
        command += ["-addext", f"subjectAltName={san}"]
    if issuer:
        command += ["-CA", directory / f"{issuer}.pem", "-CAkey", directory / f"{issuer}.key", "-addext", "basicConstraints=critical,CA:FALSE"]
    subprocess.run([str(word) for word in command], check=True, capture_output=True)
    return str(certificate), str(key)


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    directory = tmp_path_factory.mktemp("certificates")
    ca, _ = make(directory, "ca", None, "/CN=root")
    chain, key = make(directory, "server", "URI:spiffe://td/ns/server/sa/me,DNS:server.example", "/CN=server", "ca")
    pair_of = {name: make(directory, name, san, f'/O=Org "x"/CN={name}, y', "ca") for name, san in SANS.items()}
    context = typed("tls", "transport_sockets.tls.v3.DownstreamTlsContext", common_tls_context={
        "tls_certificates": [{"certificate_chain": {"filename": chain}, "private_key": {"filename": key}}],
        "validation_context": {"trusted_ca": {"filename": ca}}})
    managers, listeners = {}, {}
    for mode in MODES:
        for name, details in DETAILS.items():
            fields = {"forward_client_cert_details": mode, "set_current_client_cert_details": details}
            managers[f"{mode}-{name}"] = fields
            listeners[f"tls-{mode}-{name}"] = lambda port, log, fields=fields, name=f"tls-{mode}-{name}": listener(
                port, http_manager(access_log=[log], **fields), name=name, transport_socket=context)
    with Pair(directory, managers, listeners=listeners) as pair:
        pair.certificates = pair_of
        yield pair


def over_tls(pair, client):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    if client:
        context.load_cert_chain(*pair.certificates[client])
    return lambda connection: context.wrap_socket(connection)


INCOMING = ["", "x-forwarded-client-cert: By=one;Hash=2\r\n", "x-forwarded-client-cert: By=one\r\nx-forwarded-client-cert: By=two\r\n"]


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("client", [None, *SANS, "plain"])
def test_modes(pair, mode, client):
    for name in DETAILS:
        for lines in INCOMING:
            raw = f"GET / HTTP/1.1\r\nhost: a\r\n{lines}\r\n"
            if client == "plain":
                pair.assert_same(f"{mode}-{name}", raw)
            else:
                pair.assert_same(f"tls-{mode}-{name}", raw, wrap=over_tls(pair, client))
