"""HTTP/2 towards upstreams: signs of life, and what a silent peer costs."""
import socket
import threading
import time

import pytest

from meshes import free_port, wait_until
from proxies import TYPE, Proxy, RawOrigin, cluster, http_manager, listener, read_until
from raw_http2 import ACK, DATA, END_HEADERS, END_STREAM, HEADERS, PING, PREFACE, SETTINGS, frame

OK = b"\x88"  # :status 200, RFC 7541 appendix A


class Http2Origin:
    """Answers each request with "ok"; stops answering PINGs, or everything, when told to. `pings` counts by connection."""

    def __init__(self):
        self.answers_pings, self.answers_requests, self.pings, self.lock = True, True, [], threading.Lock()
        self.origin = RawOrigin(self.serve)
        self.port = self.origin.port

    def serve(self, connection):
        data = b""
        while len(data) < len(PREFACE):
            data += connection.recv(65536)
        assert data.startswith(PREFACE)
        data = data[len(PREFACE):]
        connection.sendall(frame(SETTINGS))
        with self.lock:
            at = len(self.pings)
            self.pings.append(0)
        while True:
            while len(data) < 9 or len(data) < 9 + int.from_bytes(data[:3], "big"):
                more = connection.recv(65536)
                if not more:
                    return
                data += more
            size, kind, flags, stream = int.from_bytes(data[:3], "big"), data[3], data[4], int.from_bytes(data[5:9], "big")
            payload, data = data[9:9 + size], data[9 + size:]
            if kind == SETTINGS and not flags & ACK:
                connection.sendall(frame(SETTINGS, ACK))
            if kind == PING and not flags & ACK:
                self.pings[at] += 1
                if self.answers_pings:
                    connection.sendall(frame(PING, ACK, 0, payload))
            if kind == HEADERS and self.answers_requests:
                connection.sendall(frame(HEADERS, END_HEADERS, stream, OK) + frame(DATA, END_STREAM, stream, b"ok"))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.origin.close()


def http2(**fields):
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": TYPE + "upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": fields}}}


def get(port):
    with socket.create_connection(("127.0.0.1", port), timeout=15) as client:
        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n")
        return read_until(client, b"nothing ends so")


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_keepalive(tmp_path, envoy):
    port = free_port()
    alive = {"interval": "0.1s", "timeout": "0.6s", "interval_jitter": {"value": 0}}
    with Http2Origin() as origin, Proxy(tmp_path, [listener(port, http_manager())], [
            cluster(origin.port, typed_extension_protocol_options=http2(connection_keepalive=alive))], envoy=envoy) as proxy:
        assert b" 200 " in get(port)
        # Answered, a connection lives on, used or not.
        wait_until(lambda: origin.pings[0] >= 5, what="signs of life")
        assert b" 200 " in get(port) and len(origin.pings) == 1
        # Unanswered, it goes, and its request learns soon.
        origin.answers_requests = origin.answers_pings = False
        begin = time.monotonic()
        answer = get(port)
        assert b" 503 " in answer.split(b"\r\n")[0] and time.monotonic() - begin < 10, answer
        origin.answers_requests = origin.answers_pings = True
        assert b" 200 " in get(port) and len(origin.pings) == 2
        wait_until(lambda: proxy.stats()["cluster.origin.upstream_cx_active"] == 1, what="the silent connection to go")


def test_without_keepalive_no_ping_is_sent(tmp_path):
    port = free_port()
    with Http2Origin() as origin, Proxy(tmp_path, [listener(port, http_manager())], [
            cluster(origin.port, typed_extension_protocol_options=http2())]):
        assert b" 200 " in get(port)
        assert b" 200 " in get(port)
        assert origin.pings == [0]
