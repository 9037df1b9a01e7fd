"""TLS towards an upstream: which servers are accepted, what is offered to them. The same table under Meltemi and Envoy."""
import json
import socket
import ssl
import threading

import pytest

from certificates import Authority
from meshes import free_port, wait_until
from programs import fetch
from proxies import Proxy, RawOrigin, cluster, http_manager, listener, read_until
from tls import ca, upstream

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


class Origin:
    """A TLS server that answers a request with what it knows of the connection."""

    def __init__(self, pair, least=None, most=None, ciphers=None, trust=None, alpn=None, requires=True):
        self.context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.context.load_cert_chain(pair.chain, pair.key)
        self.context.sni_callback = self.note_name
        self.context.minimum_version = least or TLS12
        if most:
            self.context.maximum_version = most
        if ciphers:
            self.context.set_ciphers(ciphers)
        if trust:
            self.context.load_verify_locations(trust.certificate)
            self.context.verify_mode = ssl.CERT_REQUIRED if requires else ssl.CERT_OPTIONAL
        if alpn:
            self.context.set_alpn_protocols(alpn)
        self.names = {}
        self.raw = RawOrigin(self.serve)
        self.port = self.raw.port

    def note_name(self, connection, name, _):
        self.names[id(connection)] = name

    def serve(self, connection):
        with self.context.wrap_socket(connection, server_side=True) as client:
            facts = {"version": client.version(), "cipher": client.cipher()[0], "alpn": client.selected_alpn_protocol(),
                     "sni": self.names.get(id(client)), "resumed": client.session_reused, "client": bool(client.getpeercert(True))}
            while read_until(client, b"\r\n\r\n"):
                body = json.dumps(facts).encode()
                client.sendall(b"HTTP/1.1 200 OK\r\nconnection: close\r\ncontent-length: %d\r\n\r\n" % len(body) + body)
                return facts

    def close(self):
        self.raw.close()


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    directory = tmp_path_factory.mktemp("certificates")
    root = Authority(directory)
    root.other = Authority(directory, "other")
    root.server = root.issue("server", "DNS:a.test,DNS:*.wild.test,URI:spiffe://mesh/ns/a/sa/b,IP:127.0.0.1")
    root.rsa = root.issue("rsa", "DNS:a.test", key="rsa")
    root.client = root.issue("client", "URI:spiffe://mesh/client")
    root.stranger = root.other.issue("stranger", "DNS:a.test")
    root.expired = root.issue("expired", "DNS:a.test", start=-10, end=-2)
    root.client_only = root.issue("client-only", "DNS:a.test", usage="clientAuth")
    root.unsigning = root.issue("unsigning", "DNS:a.test", key_usage="keyEncipherment")
    root.revoked = root.issue("revoked", "DNS:a.test")
    root.revoke(root.revoked)
    root.list = root.crl()
    return root


def auto_names(**fields):
    kind = "envoy.extensions.upstreams.http.v3.HttpProtocolOptions"
    return {"typed_extension_protocol_options": {kind: {
        "@type": f"type.googleapis.com/{kind}", "explicit_http_config": {"http_protocol_options": {}}, "upstream_http_protocol_options": fields}}}


def cases(keys):
    """name -> (origin's arguments, socket, cluster's fields, what the answer has; None: refused with 503)"""
    root = ca(keys)
    exact = lambda kind, name: {**root, "match_typed_subject_alt_names": [{"san_type": kind, "matcher": {"exact": name}}]}
    plain, one = upstream(validation=root, params={"tls_maximum_protocol_version": "TLSv1_3"}), {"pair": keys.server}
    own = lambda **fields: upstream(validation=root, params={"tls_maximum_protocol_version": "TLSv1_3"}, **fields)
    table = {
        "1.3": (one, plain, {}, {"version": "TLSv1.3", "sni": None, "client": False}),
        "1.2": ({**one, "most": TLS12}, plain, {}, {"version": "TLSv1.2"}),
        "1.2 is too old": ({**one, "most": TLS12}, upstream(validation=root, params={"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"}), {}, None),
        "RSA": ({"pair": keys.rsa, "most": TLS12}, plain, {}, {"version": "TLSv1.2"}),
        "a cipher": ({**one, "most": TLS12}, upstream(validation=root, params={"cipher_suites": ["ECDHE-ECDSA-AES128-GCM-SHA256"]}), {}, {"cipher": "ECDHE-ECDSA-AES128-GCM-SHA256"}),
        "no cipher": ({**one, "most": TLS12, "ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"}, upstream(validation=root, params={"cipher_suites": ["ECDHE-ECDSA-AES128-GCM-SHA256"]}), {}, None),
        "SNI": (one, own(sni="x.a.test"), {}, {"sni": "x.a.test"}),
        "SNI of the authority": (one, plain, auto_names(auto_sni=True), {"sni": "a.test"}),
        "name of the authority": (one, plain, auto_names(auto_sni=True, auto_san_validation=True), {"sni": "a.test"}),
        "name of another authority": ({"pair": keys.client}, plain, auto_names(auto_sni=True, auto_san_validation=True), None),
        "name of the SNI": (one, own(sni="y.wild.test", auto_sni_san_validation=True), {}, {"sni": "y.wild.test"}),
        "not the name of the SNI": (one, own(sni="z.y.wild.test", auto_sni_san_validation=True), {}, None),
        "ALPN": ({**one, "alpn": ["http/1.1"]}, own(alpn=["h2", "http/1.1"]), {}, {"alpn": "http/1.1"}),
        "a certificate of ours": ({**one, "trust": keys}, upstream(keys.client, validation=root), {}, {"client": True}),
        "no certificate of ours": ({**one, "trust": keys, "most": TLS12}, plain, {}, None),
        "a name": (one, upstream(validation=exact("URI", "spiffe://mesh/ns/a/sa/b")), {}, {}),
        "another name": (one, upstream(validation=exact("URI", "spiffe://mesh/ns/a/sa/c")), {}, None),
        "an address": (one, upstream(validation=exact("IP_ADDRESS", "127.0.0.1")), {}, {}),
        "unknown root": ({"pair": keys.stranger}, plain, {}, None),
        "nothing is verified": ({"pair": keys.stranger}, upstream(), {}, {}),
        "expired": ({"pair": keys.expired}, plain, {}, None),
        "expired is fine": ({"pair": keys.expired}, upstream(validation={**root, "allow_expired_certificate": True}), {}, {}),
        "for clients only": ({"pair": keys.client_only}, plain, {}, None),
        "not for signatures": ({"pair": keys.unsigning}, plain, {}, None),
        "revoked": ({"pair": keys.revoked}, upstream(validation={**root, "crl": {"inline_string": keys.list}}), {}, None),
        "not revoked": (one, upstream(validation={**root, "crl": {"inline_string": keys.list}}), {}, {}),
        "pinned": (one, upstream(validation={"verify_certificate_hash": [keys.server.fingerprint()]}), {}, {}),
        "not pinned": ({"pair": keys.stranger}, upstream(validation={"verify_certificate_hash": [keys.server.fingerprint()]}), {}, None),
    }
    return table


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_which_servers_are_accepted(tmp_path, keys, envoy):
    table = cases(keys)
    origins = {name: Origin(**arguments) for name, (arguments, *_) in table.items()}
    port, wrong = free_port(), []
    routes = [{"match": {"path": f"/{number}"}, "route": {"cluster": f"c{number}"}} for number in range(len(table))]
    clusters = [cluster(origins[name].port, name=f"c{number}", transport_socket=socket_, **fields)
                for number, (name, (_, socket_, fields, _)) in enumerate(table.items())]
    with Proxy(tmp_path, [listener(port, http_manager(routes))], json.loads(json.dumps(clusters)), envoy=envoy) as proxy:
        for number, (name, (*_, expected)) in enumerate(table.items()):
            status, body = fetch(f"http://127.0.0.1:{port}/{number}", headers={"host": "a.test:8443"})
            seen = json.loads(body) if status == 200 else {}
            if status != (503 if expected is None else 200) or any(seen.get(key) != value for key, value in (expected or {}).items()):
                wrong.append((name, expected, status, body))
        assert not wrong, "\n".join(map(str, wrong)) + proxy.log()[-2000:]
    for origin in origins.values():
        origin.close()


def test_sessions_are_resumed_unless_told_otherwise(tmp_path, keys):
    """One connection a request: the second resumes the first's session, where sessions are kept."""
    for version in (TLS12, TLS13):
        origin, ports = Origin(keys.server, least=version, most=version), [free_port(), free_port()]
        sockets = [upstream(validation=ca(keys)), upstream(validation=ca(keys), max_session_keys=0)]
        clusters = [cluster(origin.port, name=f"c{i}", transport_socket=socket_) for i, socket_ in enumerate(sockets)]
        listeners = [listener(port, http_manager([{"match": {"prefix": "/"}, "route": {"cluster": f"c{i}"}}])) for i, port in enumerate(ports)]
        with Proxy(tmp_path, listeners, clusters) as proxy:
            resumed = [[json.loads(fetch(f"http://127.0.0.1:{port}/")[1])["resumed"] for _ in range(3)] for port in ports]
            assert resumed == [[False, True, True], [False, False, False]], (version, resumed)
            stats = proxy.stats()
            assert stats["cluster.c0.ssl.handshake"] == 3 and stats["cluster.c0.ssl.session_reused"] == 2, stats
            assert stats[f"cluster.c1.ssl.versions.{'TLSv1.2' if version == TLS12 else 'TLSv1.3'}"] == 3
            assert "cluster.c1.ssl.session_reused" not in stats
        origin.close()
