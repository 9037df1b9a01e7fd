"""A PROXY header goes ahead of the TLS handshake with an upstream: to TCP and to HTTP hosts, both versions, under both programs."""
import json
import socket
import ssl
import struct

import pytest

from certificates import Authority
from meshes import free_port
from programs import fetch
from proxies import Proxy, RawOrigin, cluster, http_manager, listener, read_until, tcp_proxy
from test_proxy_protocol import MARK, wrapped
from test_tcp_proxy import is_reset
from tls import ca, upstream


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    root = Authority(tmp_path_factory.mktemp("certificates"))
    root.server, root.client = root.issue("server", "DNS:a.test"), root.issue("client", "URI:spiffe://mesh/a")
    root.stranger = Authority(root.directory, "other").issue("stranger", "DNS:a.test")
    return root


def take(connection, count):
    data = b""
    while len(data) < count:
        more = connection.recv(count - len(data))
        assert more, data
        data += more
    return data


def header(connection):
    """A PROXY header, and not a byte of what follows."""
    data = take(connection, 12)
    if data == MARK:
        data += take(connection, 4)
        return data + take(connection, struct.unpack("!H", data[14:16])[0])
    while not data.endswith(b"\r\n"):
        data += take(connection, 1)
    return data


def origin(pair, trust, seen):
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.chain, pair.key)
    context.load_verify_locations(trust.certificate)
    context.verify_mode = ssl.CERT_REQUIRED

    def serve(connection):
        seen.append(header(connection))
        with context.wrap_socket(connection, server_side=True) as client:
            while data := read_until(client, b"\r\n\r\n"):
                client.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok" if data.startswith(b"GET / HTTP/1.1") else data)
    return RawOrigin(serve)


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_header_then_handshake(tmp_path, keys, envoy):
    seen, unseen = [], []
    with origin(keys.server, keys, seen) as good, origin(keys.stranger, keys, unseen) as bad:
        tls = upstream(keys.client, validation=ca(keys), sni="a.test")
        clusters = [cluster(good.port, f"v{n}", transport_socket=wrapped(f"V{n}", tls)) for n in (1, 2)]
        clusters.append(cluster(bad.port, "bad", transport_socket=wrapped("V2", tls)))
        tcp, web = {1: free_port(), 2: free_port(), "bad": free_port()}, {1: free_port(), 2: free_port(), "bad": free_port()}
        listeners = []
        for name, target in ((1, "v1"), (2, "v2"), ("bad", "bad")):
            listeners += [listener(tcp[name], tcp_proxy(target)), listener(web[name], http_manager([{"match": {"prefix": "/"}, "route": {"cluster": target}}]))]
        with Proxy(tmp_path, json.loads(json.dumps(listeners)), json.loads(json.dumps(clusters)), envoy=envoy) as proxy:
            for version in (1, 2):
                with socket.create_connection(("127.0.0.1", tcp[version]), timeout=10) as client:
                    client.sendall(b"hello\r\n\r\n")
                    assert take(client, 9) == b"hello\r\n\r\n", proxy.log()
                    own = client.getsockname()[1]
                address = socket.inet_aton("127.0.0.1") * 2 + struct.pack("!HH", own, tcp[version])
                assert seen.pop() == (b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % (own, tcp[version]) if version == 1 else
                                      MARK + b"\x21\x11" + struct.pack("!H", len(address)) + address)
                assert fetch(f"http://127.0.0.1:{web[version]}/") == (200, "ok")
                assert seen.pop().startswith(b"PROXY TCP4 127.0.0.1 127.0.0.1 " if version == 1 else MARK + b"\x21\x11")
            # A server that is not trusted has got the header, which is no secret, and no byte more.
            with socket.create_connection(("127.0.0.1", tcp["bad"]), timeout=10) as client:
                client.sendall(b"hello\r\n\r\n")
                assert is_reset(client) in (True, False)  # Envoy's close does not wait for what it has not read
            assert fetch(f"http://127.0.0.1:{web['bad']}/")[0] == 503 and bad.results == [] and len(unseen) == 2
