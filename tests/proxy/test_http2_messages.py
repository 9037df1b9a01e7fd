"""HTTP/2 on both sides of meltemi-proxy: what becomes of messages between the versions, settings, limits of streams, signs
of life, windows, and a drain that loses nothing."""
import signal
import threading

import pytest

from meshes import free_port, wait_until
from proxies import Proxy, cluster, http2_upstream, http_manager, listener
from raw_http import Client, Origin
from raw_http2 import (ACK, CONTINUATION, DATA, ENABLE_CONNECT_PROTOCOL, END_HEADERS, END_STREAM, FLOW_CONTROL_ERROR, GOAWAY, HEADERS,
                       INITIAL_WINDOW_SIZE, MAX_CONCURRENT_STREAMS, NO_ERROR, PING, PROTOCOL_ERROR, REFUSED_STREAM, RST_STREAM, SETTINGS,
                       WINDOW_UPDATE, Http2, block, frame, request)


def route(name):
    return [{"match": {"prefix": "/"}, "route": {"cluster": name, "timeout": "30s"}}]


TRAILERS = {"enable_trailers": True}
LIMITED = {"max_concurrent_streams": 3, "initial_stream_window_size": 70000, "initial_connection_window_size": 100000,
           "connection_keepalive": {"interval": "0.2s", "timeout": "0.5s"}}


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    """Clients of either version → `front` → HTTP/2 → `back` → HTTP/1 → the origin; and straight to the origin."""
    ports = {name: free_port() for name in ("straight", "front", "back", "limited", "connect", "large", "large-back")}
    gate = threading.Event()
    replies = {b"/hold": lambda connection, _: connection.recv(1) != b"",
               b"/wait": lambda connection, _: gate.wait(20) and connection.sendall(Origin.OK) is None}
    with Origin(replies) as origin:
        listeners = [
            listener(ports["straight"], http_manager(route("origin"))),
            listener(ports["front"], http_manager(route("back"), http_protocol_options=TRAILERS)),
            listener(ports["back"], http_manager(route("origin"), codec_type="HTTP2")),
            listener(ports["limited"], http_manager(route("origin"), http2_protocol_options=LIMITED)),
            listener(ports["large"], http_manager(route("large-back"), max_request_headers_kb=512)),
            listener(ports["large-back"], http_manager(route("origin"), max_request_headers_kb=512)),
            listener(ports["connect"], http_manager(route("origin"), http2_protocol_options={"allow_connect": True},
                                                    upgrade_configs=[{"upgrade_type": "websocket"}]))]
        options = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
            "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
            "explicit_http_config": {"http_protocol_options": TRAILERS}}}
        clusters = [cluster(origin.port, typed_extension_protocol_options=options),
                    cluster(ports["large-back"], "large-back", typed_extension_protocol_options=http2_upstream()),
                    cluster(ports["back"], "back", typed_extension_protocol_options=http2_upstream())]
        with Proxy(tmp_path_factory.mktemp("http2"), listeners, clusters) as proxy:
            origin.gate = gate
            yield proxy, origin, ports


@pytest.fixture
def origin(setup):
    setup[1].forget()
    setup[1].gate.clear()
    return setup[1]


@pytest.fixture
def ports(setup):
    return setup[2]


def test_http2_becomes_http1(origin, ports):
    with Http2(ports["straight"]) as client:
        fields = [(b"cookie", b"a=1"), (b"cookie", b"b=2"), (b"te", b"trailers"), (b"x-up", b"v"), (b"host", b"a.b:81")]
        assert client.get(1, b"/p?q", *fields, authority=b"a.b:81") == (200, b"ok")
        client.headers(3, request(b"/body", method=b"POST"), end=False)
        client.send(frame(DATA, 0, 3, b"hel") + frame(HEADERS, END_HEADERS | END_STREAM, 3, block((b"x-sum", b"1"))) + b"")
        assert client.answer(3) == (200, b"ok")
        client.headers(5, request(b"/length", (b"content-length", b"5"), method=b"POST"), end=False)
        client.send(frame(DATA, END_STREAM, 5, b"hello"))
        assert client.answer(5) == (200, b"ok")
        client.headers(7, block((b":method", b"GET"), (b":scheme", b"http"), (b":path", b"/host"), (b"host", b"only.host")))
        assert client.answer(7) == (200, b"ok")
    first, second, third, fourth = origin.requests
    assert first.first == b"GET /p?q HTTP/1.1" and first.get(b"host") == b"a.b:81" and first.get(b"cookie") == b"a=1; b=2"
    assert first.get(b"te") == b"trailers" and first.get(b"x-up") == b"v"
    assert first.get(b"transfer-encoding") is None and first.get(b"content-length") is None
    assert second.body == b"hel" and second.get(b"transfer-encoding") == b"chunked" and second.trailers == [(b"x-sum", b"1")]
    assert third.body == b"hello" and third.get(b"content-length") == b"5" and third.get(b"transfer-encoding") is None
    assert fourth.get(b"host") == b"only.host"


def test_http1_becomes_http2_and_http1_again(origin, ports):
    origin.replies[b"/trailers?q"] = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nConnection: x-gone\r\nX-Gone: 1\r\nX-Stays: 2\r\n"
                                    b"\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n\r\n")
    with Client(ports["front"]) as client:
        client.send(b"POST /trailers?q HTTP/1.1\r\nHost: a.b\r\nConnection: keep-alive, x-hop\r\nX-Hop: 1\r\nTE: trailers\r\n"
                    b"Cookie: a=1; b=2\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-Req: 3\r\n\r\n")
        answer = client.answer()
        assert answer.status == 200 and answer.body == b"ok" and answer.trailers == [(b"x-sum", b"1")], answer
        assert answer.get(b"x-stays") == b"2" and answer.get(b"x-gone") is None
        client.send(b"HEAD /x HTTP/1.1\r\nHost: a\r\n\r\n")
        assert client.answer(b"HEAD").get(b"content-length") == b"2"
    seen = origin.requests[0]
    assert seen.first == b"POST /trailers?q HTTP/1.1" and seen.get(b"host") == b"a.b" and seen.body == b"abc"
    assert seen.trailers == [(b"x-req", b"3")] and seen.get(b"cookie") == b"a=1; b=2" and seen.get(b"te") == b"trailers"
    assert seen.get(b"x-hop") is None and seen.get(b"connection") is None


GET = ((b":method", b"GET"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/x"))
# name: fields, frames behind them (7.1, 3 and 4)
MALFORMED = {
    "CR in a value": ((*GET, (b"a", b"b\rc")), None),
    "LF in a value": ((*GET, (b"a", b"b\r\nc: d")), None),
    "NUL in a value": ((*GET, (b"a", b"b\0c")), None),
    "colon in a name": ((*GET, (b"a:b", b"c")), None),
    "space in a name": ((*GET, (b"a b", b"c")), None),
    "LF in a name": ((*GET, (b"a\n", b"c")), None),
    "upper case in a name": ((*GET, (b"Abc", b"c")), None),
    "empty name": ((*GET, (b"", b"c")), None),
    "transfer-encoding": ((*GET, (b"transfer-encoding", b"chunked")), None),
    "connection": ((*GET, (b"connection", b"close")), None),
    "keep-alive": ((*GET, (b"keep-alive", b"x")), None),
    "proxy-connection": ((*GET, (b"proxy-connection", b"x")), None),
    "upgrade": ((*GET, (b"upgrade", b"websocket")), None),
    "te gzip": ((*GET, (b"te", b"gzip")), None),
    "second host": ((*GET, (b"host", b"b")), None),
    "hosts twice": ((*GET, (b"host", b"a"), (b"host", b"a")), None),
    "authority with slash": ((*GET[:2], (b":authority", b"a/b"), GET[3]), None),
    "authority with user": ((*GET[:2], (b":authority", b"u@a"), GET[3]), None),
    "space in the path": ((*GET[:3], (b":path", b"/x y")), None),
    "LF in the path": ((*GET[:3], (b":path", b"/x\r\nA: b")), None),
    "space in the method": (((b":method", b"GET /y HTTP/1.1"), *GET[1:]), None),
    "LF in the method": (((b":method", b"GET\r\n"), *GET[1:]), None),
    "path without slash": ((*GET[:3], (b":path", b"x")), None),
    "path twice": ((*GET, (b":path", b"/y")), None),
    "unknown pseudo field": ((*GET, (b":other", b"/y")), None),
    ":status in a request": ((*GET, (b":status", b"200")), None),
    "pseudo field behind others": ((*GET[:3], (b"a", b"b"), GET[3]), None),
    ":protocol not offered": (((b":method", b"CONNECT"), (b":protocol", b"websocket"), *GET[1:]), None),
    "length without a body": ((*GET, (b"content-length", b"5")), None),
    "length twice": ((*GET, (b"content-length", b"0"), (b"content-length", b"0")), None),
    "length with sign": ((*GET, (b"content-length", b"+0")), None),
    "body longer than said": ((*GET, (b"content-length", b"2")), frame(DATA, END_STREAM, 1, b"abc")),
    "body shorter than said": ((*GET, (b"content-length", b"9")), frame(DATA, END_STREAM, 1, b"abc")),
    "pseudo field in trailers": (GET, frame(DATA, 0, 1, b"abc") + frame(HEADERS, END_HEADERS | END_STREAM, 1, block((b":path", b"/y")))),
    "trailers without end": (GET, frame(DATA, 0, 1, b"abc") + frame(HEADERS, END_HEADERS, 1, block((b"a", b"b")))),
    "length in trailers": (GET, frame(DATA, 0, 1, b"abc") + frame(HEADERS, END_HEADERS | END_STREAM, 1, block((b"content-length", b"9")))),
    "LF in a trailer": (GET, frame(DATA, 0, 1, b"abc") + frame(HEADERS, END_HEADERS | END_STREAM, 1, block((b"a", b"b\r\nc")))),
}


@pytest.mark.parametrize("name", MALFORMED)
def test_malformed_requests_are_reset(setup, origin, ports, name):
    fields, behind = MALFORMED[name]
    with Http2(ports["straight"]) as client:
        client.headers(1, block(*fields), end=behind is None)
        if behind:
            client.send(behind)
        kind, code = client.answer(1)
        assert kind in ("reset", "goaway", 400, "ended") and (kind == 400 or code in (PROTOCOL_ERROR, None)), (kind, code)
    assert origin.requests == []
    setup[0].program.assert_runs()


def test_trailers_that_frame_are_dropped(origin, ports):
    with Http2(ports["straight"]) as client:
        client.headers(1, request(method=b"POST"), end=False)
        trailers = block((b"host", b"b"), (b"x-sum", b"1"))
        client.send(frame(DATA, 0, 1, b"abc") + frame(HEADERS, END_HEADERS | END_STREAM, 1, trailers))
        assert client.answer(1) == (200, b"ok")
        assert client.get(3) == (200, b"ok")
    assert origin.requests[0].trailers == [(b"x-sum", b"1")] and origin.requests[0].body == b"abc"


def settings_of(client):
    _, _, _, payload = client.until(lambda kind, flags, *_: kind == SETTINGS and not flags & ACK)
    return {int.from_bytes(payload[i:i + 2], "big"): int.from_bytes(payload[i + 2:i + 6], "big") for i in range(0, len(payload), 6)}


def test_settings_come_from_the_configuration(ports):
    with Http2(ports["straight"]) as client:
        found = settings_of(client)
        assert found[MAX_CONCURRENT_STREAMS] == 1024 and found.get(ENABLE_CONNECT_PROTOCOL, 0) == 0
    with Http2(ports["limited"]) as client:
        found = settings_of(client)
        assert found[MAX_CONCURRENT_STREAMS] == 3 and found[INITIAL_WINDOW_SIZE] == 70000
        _, _, _, grown = client.until(lambda kind, _, stream, __: kind == WINDOW_UPDATE and stream == 0)
        assert int.from_bytes(grown, "big") == 100000 - 65535
    with Http2(ports["connect"]) as client:
        assert settings_of(client)[ENABLE_CONNECT_PROTOCOL] == 1


def test_streams_beyond_the_limit_are_refused(origin, ports):
    with Http2(ports["limited"]) as client:
        for stream in (1, 3, 5, 7):
            client.headers(stream, request(b"/wait"))
        assert client.answer(7) == ("reset", REFUSED_STREAM)
        origin.gate.set()
        assert [client.answer(stream) for stream in (1, 3, 5)] == [(200, b"ok")] * 3
        assert client.get(9) == (200, b"ok")
    with Http2(ports["limited"]) as client:  # it has said that it knows the limit
        client.until(lambda kind, flags, *_: kind == SETTINGS and flags & ACK == 0)
        client.send(frame(SETTINGS, ACK))
        for stream in (1, 3, 5, 7):
            client.headers(stream, request(b"/hold"))
        assert client.goaway() == PROTOCOL_ERROR


def test_windows_bound_what_is_taken(origin, ports):
    """Nobody reads the request at the origin's end; the client may send one window more than sockets hold, and no byte more."""
    with Http2(ports["limited"]) as client:
        client.headers(1, request(b"/hold", method=b"POST"), end=False)
        client.ping()
        for _ in range(1000):
            client.send(frame(DATA, 0, 1, b"x" * 10000))
        assert client.answer(1) in (("reset", FLOW_CONTROL_ERROR), ("goaway", FLOW_CONTROL_ERROR)) or client.goaway() == FLOW_CONTROL_ERROR


def test_signs_of_life(origin, ports):
    with Http2(ports["limited"]) as client:  # answers: lives on
        for _ in range(3):
            _, _, _, payload = client.until(lambda kind, flags, *_: kind == PING and not flags & ACK)
            client.frames.clear()
            client.send(frame(PING, ACK, payload=payload))
        assert client.get(1) == (200, b"ok")
    with Http2(ports["limited"]) as client:  # does not
        client.goaway()
        assert any(kind == PING for kind, *_ in client.frames)


@pytest.mark.parametrize("version", [1, 2])
def test_large_heads_pass_where_allowed(origin, ports, version):
    fields = [(b"x-%d" % i, b"v" * 10_000) for i in range(30)]
    origin.replies[b"/large"] = b"HTTP/1.1 200 OK\r\n" + b"".join(b"%s: %s\r\n" % field for field in fields[:5]) + b"Content-Length: 2\r\n\r\nok"
    if version == 1:
        with Client(ports["large"]) as client:
            client.send(b"GET /large HTTP/1.1\r\nHost: a\r\n" + b"".join(b"%s: %s\r\n" % field for field in fields) + b"\r\n")
            answer = client.answer()
            assert answer.status == 200 and answer.get(b"x-4") == fields[4][1]
    else:
        with Http2(ports["large"]) as client:
            assert client.get(1, b"/large", *fields) == (200, b"ok")
    assert {field for field in origin.requests[0].fields if field[0].startswith(b"x-") and len(field[1]) > 100} == set(fields)


def test_extended_connect(origin, ports):
    def echo(connection, seen):
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome ")
        while data := connection.recv(65536):
            connection.sendall(data.upper())
        return False

    origin.replies[b"/ws"] = echo
    with Http2(ports["connect"]) as client:
        client.headers(1, block((b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http"), (b":path", b"/ws"),
                                (b":authority", b"a"), (b"sec-websocket-version", b"13")), end=False)
        client.send(frame(DATA, 0, 1, b"hello "))
        body = lambda: b"".join(payload for kind, _, stream, payload in client.frames if kind == DATA and stream == 1)
        while b"HELLO " not in body():
            assert client.read()
        assert body() == b"welcome HELLO "
        client.send(frame(DATA, END_STREAM, 1, b"bye"))
        assert client.answer(1) == (200, b"welcome HELLO BYE")
    seen = origin.requests[0]
    assert seen.first == b"GET /ws HTTP/1.1" and seen.get(b"upgrade") == b"websocket" and seen.get(b"sec-websocket-version") == b"13"


@pytest.mark.parametrize("answers_ping", [True, False])
def test_a_drain_announces_itself_twice_and_finishes_what_began(tmp_path, answers_ping):
    port, gate = free_port(), threading.Event()
    with Origin({b"/wait": lambda connection, _: gate.wait(20) and connection.sendall(Origin.OK) is None}) as origin:
        manager = http_manager(drain_timeout="0.5s")
        with Proxy(tmp_path, [listener(port, manager)], [cluster(origin.port)], "--drain-time-s", "15") as proxy, Http2(port) as client:
            client.headers(1, request(b"/wait"))
            wait_until(lambda: origin.requests, what="the request to arrive")
            proxy.program.process.send_signal(signal.SIGTERM)
            is_goaway = lambda kind, *_: kind == GOAWAY
            notice = client.until(is_goaway)[3]
            assert (int.from_bytes(notice[:4], "big"), notice[4:8]) == (0x7fffffff, b"\0\0\0\0")
            client.headers(3, request(b"/x"))  # was under way when the notice came: still served
            assert client.answer(3) == (200, b"ok")
            if answers_ping:
                ping = client.until(lambda kind, flags, *_: kind == PING and not flags & ACK)
                client.send(frame(PING, ACK, payload=ping[3]))
            client.frames = [seen for seen in client.frames if seen[3] != notice]
            last = client.until(is_goaway)[3]
            assert int.from_bytes(last[:4], "big") == 3 and last[4:8] == b"\0\0\0\0"
            gate.set()
            assert client.answer(1) == (200, b"ok")
            client.until(lambda *_: False)
            assert client.ended
            assert proxy.program.process.wait(15) == 0
