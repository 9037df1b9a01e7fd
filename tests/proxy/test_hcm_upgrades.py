"""Upgrades and CONNECT, beside Envoy: when they are allowed, raw bytes both ways, other answers than 101, tunnels that end here, HTTP/2."""
import socket

import pytest

from pairs import Pair, read_head, script
from proxies import RawOrigin, cluster, read_until
from raw_http2 import DATA, END_STREAM, HEADERS, Http2, block, frame, status

WS = "connection: Upgrade\r\nupgrade: websocket\r\n"
SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nconnection: upgrade\r\nupgrade: websocket\r\nsec-websocket-accept: x\r\n\r\n"
ON, OFF = {"upgrade_type": "websocket"}, {"upgrade_type": "websocket", "enabled": False}
CONNECT = {"upgrade_type": "CONNECT"}


def routes(*routes):
    return {"route_config": {"name": "local", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": list(routes)}]}}


def to_origin(*upgrades, match=None, **fields):
    return {"match": match or {"prefix": "/"}, "route": {"cluster": "origin", **({"upgrade_configs": list(upgrades)} if upgrades else {}), **fields}}


CONNECTS = {"connect_matcher": {}}
MANAGERS = {
    "none": routes(to_origin()), "on": {**routes(to_origin()), "upgrade_configs": [ON]}, "off": {**routes(to_origin()), "upgrade_configs": [OFF]},
    "route-on": routes(to_origin(ON)), "route-off": {**routes(to_origin(OFF)), "upgrade_configs": [ON]}, "off-route-on": {**routes(to_origin(ON)), "upgrade_configs": [OFF]},
    "times": {**routes(to_origin(timeout="0.3s")), "upgrade_configs": [ON]}, "idle": {**routes(to_origin(timeout="0s")), "upgrade_configs": [ON], "stream_idle_timeout": "0.3s"},
    "connect-route": routes(to_origin(CONNECT, match=CONNECTS), to_origin()), "connect": {**routes(to_origin(match=CONNECTS)), "upgrade_configs": [CONNECT]},
    "connect-off": routes(to_origin(match=CONNECTS)),
    "ends": routes({"match": CONNECTS, "route": {"cluster": "raw", "upgrade_configs": [{**CONNECT, "connect_config": {}}]}}, to_origin()),
    "refused": routes({"match": CONNECTS, "route": {"cluster": "nobody", "upgrade_configs": [{**CONNECT, "connect_config": {}}]}}),
}


def echo(connection):
    """Sends back what comes, in capitals, and says goodbye at the end."""
    while data := connection.recv(65536):
        connection.sendall(data.upper())
    connection.sendall(b"BYE")


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    with RawOrigin(echo) as raw, socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))  # bound and never listening
        clusters = [cluster(raw.port, "raw"), cluster(nobody.getsockname()[1], "nobody")]
        h2 = {"http2_protocol_options": {"allow_connect": True}}
        managers = MANAGERS | {"h2": {**MANAGERS["on"], **h2}, "h2-ends": {**MANAGERS["ends"], **h2}}
        with Pair(tmp_path_factory.mktemp("upgrades"), managers, lambda port: clusters) as pair:
            yield pair


def ask(*lines, method="GET", path="/"):
    return f"{method} {path} HTTP/1.1\r\nhost: a\r\nx-case: ?\r\n" + "".join(lines) + "\r\n"


GATES = ["none", "on", "off", "route-on", "route-off", "off-route-on"]


@pytest.mark.parametrize("name", GATES)
def test_who_may_upgrade(pair, name):
    is_allowed = name in ("on", "route-on", "off-route-on")
    ours = pair.assert_same(name, ask(WS, script(SWITCH, "stall")), logs=not is_allowed)
    assert ours.status == (101 if is_allowed else 403)


# (listener, request): other answers, tokens and forms.
CASES = [("on", ask(WS, script(b"HTTP/1.1 403 Forbidden\r\ncontent-length: 2\r\n\r\nno"))),
         ("on", ask(WS, script("close"))),
         ("on", ask("connection: upgrade\r\nupgrade: WebSocket\r\n", script(SWITCH, "stall"))), ("on", ask("connection: keep-alive, Upgrade\r\nupgrade: websocket\r\n", script(SWITCH, "stall"))),
         ("on", ask("connection: upgrade\r\nupgrade: other\r\n")), ("on", ask("upgrade: websocket\r\n")), ("times", ask(WS, script("stall"))), ("idle", ask(WS, script("stall"))),
         ("connect-off", ask(method="CONNECT", path="a:1")), ("none", ask(method="CONNECT", path="a:1")), ("refused", ask(method="CONNECT", path="a:1")),
         ("connect", ask(script(b"HTTP/1.1 405 Method Not Allowed\r\ncontent-length: 0\r\n\r\n"), method="CONNECT", path="a:1"))]


@pytest.mark.parametrize("name, raw", CASES)
def test_answers(pair, name, raw):
    is_switched = "SFRUUC8xLjEgMTAx" in raw  # how a tunnel ended depends on who saw which end first
    pair.assert_same(name, raw, logs=not is_switched)


@pytest.mark.parametrize("framing", [b"content-length: 2\r\n\r\nno", b"transfer-encoding: chunked\r\n\r\n2\r\nno\r\n0\r\n\r\n"])
def test_a_success_without_a_switch(pair, framing):
    """An ordinary response with its body, which Envoy leaves out."""
    ours = pair.ours.ask("on", ask(WS, script(b"HTTP/1.1 200 OK\r\n" + framing)), logs=True)
    assert (ours.status, ours.body, ours.log) == (200, "no", "200|-|via_upstream")


def talk(side, name, head, pieces):
    """Opens a tunnel, sends each piece after the echo of the one before, half-closes; returns (head, all that came back)."""
    with side.connect(name) as client:
        client.sendall(head.encode())
        answer, rest = read_head(client)
        for piece in pieces:
            client.sendall(piece)
            while piece.upper() not in rest:
                more = client.recv(65536)
                assert more, (side.name, rest)
                rest += more
        client.shutdown(socket.SHUT_WR)
        while more := client.recv(65536):
            rest += more
        return answer, rest


@pytest.mark.parametrize("name, method", [("on", "GET"), ("connect", "CONNECT"), ("connect-route", "CONNECT"), ("ends", "CONNECT")])
def test_bytes_pass_both_ways(pair, name, method):
    accept = SWITCH if method == "GET" else b"HTTP/1.1 200 OK\r\n\r\n"
    # The tunnel's other end is the scripted origin, which answers three pieces; or the echo.
    steps = script(accept, (b"one",), b"ONE", (b"\0two",), b"\0TWO", (b"GET / HTTP/1.1",), b"GET / HTTP/1.1", "stall")
    head = ask(WS if method == "GET" else "", "" if name == "ends" else steps, method=method, path="/" if method == "GET" else "a:1")
    heads = []
    for side in pair.sides:
        answer, got = talk(side, name, head, [b"one", b"\0two", b"GET / HTTP/1.1"])
        assert got.startswith(b"ONE\0TWOGET / HTTP/1.1"), (side.name, got)
        if name == "ends" and side is pair.ours:  # half a close passes; Envoy ends the whole
            assert got.endswith(b"BYE"), got
        heads.append(answer.split(b"\r\n")[0])
    assert heads[0] == heads[1]


def test_nothing_is_sent_before_the_switch(pair):
    """Bytes behind the request wait for the answer, and go nowhere when it is not 101 (CVE-2026-73548)."""
    marker = b"GET /smuggled HTTP/1.1\r\nhost: a\r\nx-case: smuggled\r\n\r\n"
    side = pair.ours
    for answer in (b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 401 Unauthorized\r\ncontent-length: 0\r\n\r\n"):
        with side.connect("on") as client:
            client.sendall(ask(WS, script("0.2", answer)).encode() + marker)
            assert read_until(client, b"\r\n\r\n").split()[1] in (b"200", b"401")
            assert client.recv(100) == b"", "the connection ends: nobody can tell whose the bytes are"
    pair.assert_same("on", ask())  # and the next request has an upstream connection in order
    assert not [fields for fields in pair.arrived if fields.get("x-case") == "smuggled"]


@pytest.mark.parametrize("name", ["connect", "ends"])
def test_bytes_ahead_of_the_answer_to_connect(pair, name):
    """What a client sends behind its CONNECT before the answer comes reaches the tunnel's end, in order, once it is open."""
    steps = script("0.2", b"HTTP/1.1 200 OK\r\n\r\n", (b"early late",), b"EARLY LATE", "stall")
    head = ask(steps if name == "connect" else "", method="CONNECT", path="a:1").encode()
    for side in pair.sides:
        with side.connect(name) as client:
            client.sendall(head + b"early ")
            answer, rest = read_head(client)
            assert answer.startswith(b"HTTP/1.1 200"), (side.name, answer)
            client.sendall(b"late")
            while len(rest) < 10:
                more = client.recv(100)
                assert more, (side.name, rest)
                rest += more
            assert rest == b"EARLY LATE", side.name


def test_bytes_ahead_of_a_refused_connect_go_nowhere(pair):
    with pair.ours.connect("connect-off") as client:
        client.sendall(ask(method="CONNECT", path="a:1").encode() + b"GET /smuggled HTTP/1.1\r\nhost: a\r\nx-case: smuggled\r\n\r\n")
        assert read_until(client, b"\r\n\r\n").split()[1] == b"403"
        while client.recv(100):
            pass
    assert not [fields for fields in pair.arrived if fields.get("x-case") == "smuggled"]


def test_websocket_over_http2(pair):
    """Extended CONNECT (RFC 8441) to an HTTP/1 origin."""
    for side in pair.sides:
        with Http2(side.ports["h2"]) as client:
            fields = [(b"x-script", script(SWITCH, (b"one",), b"ONE", "stall").split(": ")[1].strip().encode()), (b"sec-websocket-version", b"13")]
            client.headers(1, block((b":method", b"CONNECT"), (b":protocol", b"websocket"), (b":scheme", b"http"), (b":authority", b"a"), (b":path", b"/ws"),
                                    *fields), end=False)
            head = client.until(lambda kind, flags, stream, _: kind == HEADERS and stream == 1)
            assert head is not None and status(head[3]) == 200, (side.name, client.frames)
            client.send(frame(DATA, 0, 1, b"one"))
            assert client.until(lambda kind, flags, stream, payload: kind == DATA and payload == b"ONE"), (side.name, client.frames)
        received = [fields for fields in pair.arrived if fields.get("sec-websocket-version")][-1]
        assert received["upgrade"] == "websocket" and received["connection"].lower() == "upgrade", (side.name, received)


def test_connect_ends_here_over_http2(pair):
    for side in pair.sides:
        with Http2(side.ports["h2-ends"]) as client:
            client.headers(1, block((b":method", b"CONNECT"), (b":authority", b"a:1")), end=False)
            head = client.until(lambda kind, flags, stream, _: kind == HEADERS and stream == 1)
            assert head is not None and status(head[3]) == 200, (side.name, client.frames)
            client.send(frame(DATA, 0, 1, b"one"))
            assert client.until(lambda kind, flags, stream, payload: kind == DATA and payload == b"ONE"), (side.name, client.frames)
            client.send(frame(DATA, END_STREAM, 1, b"two"))
            client.until(lambda kind, flags, stream, _: kind == DATA and flags & END_STREAM)
            assert b"".join(payload for kind, _, _, payload in client.frames if kind == DATA) == b"ONETWOBYE", side.name
