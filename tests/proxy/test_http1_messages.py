"""HTTP/1.1 and 1.0 through meltemi-proxy: interim answers, answers without a body, ends of connections, trailers, case of
names, and origins that answer wrongly."""
import socket
import threading

import pytest

from meshes import free_port, wait_until
from proxies import Proxy, RawOrigin, cluster, http_manager, listener, read_until
from raw_http import Client, Incomplete, Origin

PRESERVE = {"header_key_format": {"stateful_formatter": {"name": "preserve_case", "typed_config": {
    "@type": "type.googleapis.com/envoy.extensions.http.header_formatters.preserve_case.v3.PreserveCaseFormatterConfig"}}}}
PROPER = {"header_key_format": {"proper_case_words": {}}}


def upstream(http1):
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions",
        "explicit_http_config": {"http_protocol_options": http1}}}


# name of a listener: fields of its manager, options of the cluster's HTTP/1
KINDS = {
    "plain": ({}, {}),
    "continue": ({"proxy_100_continue": True}, {}),
    "http10": ({"http_protocol_options": {"accept_http_10": True}}, {}),
    "trailers": ({"http_protocol_options": {"enable_trailers": True}}, {"enable_trailers": True}),
    "preserve": ({"http_protocol_options": PRESERVE}, PRESERVE),
    "upgrade": ({"upgrade_configs": [{"upgrade_type": "websocket"}]}, {}),
    "proper": ({"http_protocol_options": PROPER}, PROPER),
}


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    """The proxy, its origin, and the port of each kind of listener."""
    ports = {kind: free_port() for kind in KINDS}
    with Origin() as origin:
        listeners = [listener(ports[kind], http_manager([{"match": {"prefix": "/"}, "route": {"cluster": kind}}], **fields))
                     for kind, (fields, _) in KINDS.items()]
        clusters = [cluster(origin.port, kind, typed_extension_protocol_options=upstream(options)) for kind, (_, options) in KINDS.items()]
        with Proxy(tmp_path_factory.mktemp("messages"), listeners, clusters) as proxy:
            yield proxy, origin, ports


@pytest.fixture
def origin(setup):
    setup[1].forget()
    setup[1].replies = {}
    return setup[1]


@pytest.fixture
def ports(setup):
    return setup[2]


def get(target=b"/x", *fields, method=b"GET", version=b"1.1", host=b"Host: a"):
    return b"\r\n".join([method + b" " + target + b" HTTP/" + version, *([host] if host else []), *fields]) + b"\r\n\r\n"


def on_one_connection(origin):
    """Whether the two requests the origin saw came over one connection."""
    first, second = origin.requests
    return first.connection is second.connection


EXPECTS = get(b"/x", b"Expect: 100-continue", b"Content-Length: 5", method=b"POST")


def test_continue_is_the_proxys_by_default(origin, ports):
    with Client(ports["plain"]) as client:
        client.send(EXPECTS)
        assert client.answer().status == 100
        client.send(b"hello")
        assert client.answer().status == 200
    assert origin.requests[0].body == b"hello" and origin.requests[0].get(b"expect") is None


def test_continue_may_be_the_origins(origin, ports):
    with Client(ports["continue"]) as client:
        origin.replies = {b"/x": b"HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n" + Origin.OK}
        client.send(get())
        early, final = client.answer(), client.answer()
        assert (early.status, early.get(b"link"), final.status) == (103, b"</a>", 200)
        client.send(EXPECTS + b"hello")  # sends its body at once, as it may
        assert [client.answer().status for _ in range(2)] == [103, 200]
    assert origin.requests[1].get(b"expect") == b"100-continue"
    with Client(ports["plain"]) as client:  # Envoy drops them without proxy_100_continue
        client.send(get())
        assert client.answer().status == 200


def test_a_refusal_instead_of_continue_ends_the_connection(tmp_path):
    """Whether the client sends its body all the same cannot be known."""
    port = free_port()

    def serve(connection):
        head = read_until(connection, b"\r\n\r\n")
        connection.sendall(b"HTTP/1.1 417 No\r\nContent-Length: 0\r\n\r\n")
        connection.recv(65536)
        return head

    with RawOrigin(serve) as origin, Proxy(tmp_path, [listener(port, http_manager(proxy_100_continue=True))], [cluster(origin.port)]):
        with Client(port) as client:
            client.send(EXPECTS)
            assert client.answer().status == 417
            assert client.at_end()
        wait_until(lambda: origin.results, what="the origin to hear of the end")


BODILESS = {
    "HEAD": (b"HEAD", b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"99"),
    "HEAD of chunks": (b"HEAD", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
    "204": (b"GET", b"HTTP/1.1 204 No Content\r\n\r\n", None),
    "304": (b"GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: \"a\"\r\n\r\n", b"99"),
    "empty": (b"GET", b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", b"0"),
}


@pytest.mark.parametrize("name", BODILESS)
def test_answers_without_a_body(origin, ports, name):
    method, reply, length = BODILESS[name]
    origin.replies = {b"/x": reply}
    with Client(ports["plain"]) as client:
        for _ in range(2):  # the second shows that both connections are in step
            client.send(get(method=method))
            answer = client.answer(method)
            assert answer.raw_head.split(b" ")[1] == reply.split(b" ")[1] and answer.get(b"content-length") == length, answer
    assert on_one_connection(origin)


BODIES = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x\r\nllo\r\n0\r\nA: b\r\n\r\n",
    "until the end": b"HTTP/1.1 200 OK\r\n\r\nhello",
    "HTTP/1.0": b"HTTP/1.0 200 OK\r\n\r\nhello",
}


def one_answer(reply):
    """Sends it and closes."""
    def serve(connection, _):
        connection.sendall(reply)
        return False
    return serve


UNFRAMED = ("until the end", "HTTP/1.0")


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("version, fields, stays", [(b"1.1", (), True), (b"1.1", (b"Connection: close",), False), (b"1.0", (), False),
                                                    (b"1.0", (b"Connection: keep-alive",), True)])
def test_bodies_and_ends_of_both_versions(origin, ports, name, version, fields, stays):
    origin.replies = {b"/x": one_answer(BODIES[name]) if name in UNFRAMED else BODIES[name]}
    with Client(ports["http10"]) as client:
        client.send(get(b"/x", *fields, version=version))
        answer = client.answer()
        assert answer.status == 200 and answer.body == b"hello" and answer.trailers == []
        is_cut = version == b"1.0" and name != "length"  # there are no chunks in HTTP/1.0
        assert (answer.get(b"transfer-encoding") is None) or version == b"1.1"
        if stays and not is_cut:
            assert answer.get(b"connection") == (b"keep-alive" if version == b"1.0" else None)
            client.send(get(b"/y"))
            assert client.answer().status == 200
        else:
            assert answer.get(b"connection") == b"close" and client.at_end()


def test_old_versions_need_leave(origin, ports):
    with Client(ports["plain"]) as client:
        client.send(get(version=b"1.0"))
        answer = client.answer()
        assert answer.status == 426 and answer.get(b"connection") == b"close" and client.at_end()
    assert origin.requests == []


def test_an_early_answer_ends_the_connection_when_much_is_left(tmp_path):
    """What follows is the rest of a body, whatever it looks like."""
    port = free_port()

    def serve(connection):
        head = read_until(connection, b"\r\n\r\n")
        connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 0\r\n\r\n")
        while connection.recv(65536):
            pass
        return head

    with RawOrigin(serve) as origin, Proxy(tmp_path, [listener(port, http_manager())], [cluster(origin.port)]):
        with Client(port) as client:
            client.send(get(b"/x", b"Content-Length: 1000000", method=b"POST") + b"x")
            assert client.answer().status == 413
            client.send(get(b"/smuggled"))
            assert client.at_end()
        wait_until(lambda: origin.results, what="the origin to hear of the end")
        assert len(origin.results) == 1


def test_trailers_pass_where_enabled(origin, ports):
    origin.replies = {b"/x": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\nX-Sum: 1\r\n"
                             b"Content-Length: 7\r\nHost: b\r\nTransfer-Encoding: chunked\r\n\r\n"}
    request = get(b"/x", b"Transfer-Encoding: chunked", method=b"POST") + b"2\r\nhi\r\n0\r\nX-Req: 2\r\nContent-Length: 9\r\nConnection: x\r\n\r\n"
    for kind, up, down in (("trailers", [(b"x-req", b"2")], [(b"x-sum", b"1")]), ("plain", [], [])):
        origin.forget()
        with Client(ports[kind]) as client:
            client.send(request)
            answer = client.answer()
            assert answer.body == b"ok" and answer.trailers == down
            assert origin.requests[0].body == b"hi" and origin.requests[0].trailers == up


def names(message):
    return {key for key, _ in message.fields}


def test_case_of_names(origin, ports):
    origin.replies = {b"/x": b"HTTP/1.1 200 OK\r\nX-OdD-nAmE: v\r\nCONTENT-length: 2\r\nsimple-name: w\r\n\r\nok"}
    request = get(b"/x", b"X-mIxEd: 1", b"ACCEPT: */*", b"content-LENGTH: 2", method=b"POST", host=b"hOSt: a") + b"hi"
    with Client(ports["preserve"]) as client:
        client.send(request)
        answer = client.answer()
        assert {b"X-OdD-nAmE", b"CONTENT-length", b"simple-name"} <= names(answer), answer
        assert {b"X-mIxEd", b"ACCEPT", b"content-LENGTH", b"hOSt"} <= names(origin.requests[0]), origin.requests[0]
        client.send(get())  # remembered by message, not by connection
        client.answer()
        assert {b"Host"} <= names(origin.requests[1]) and b"hOSt" not in names(origin.requests[1])
    origin.forget()
    with Client(ports["proper"]) as client:
        client.send(request)
        assert {b"X-Odd-Name", b"Content-Length", b"Simple-Name"} <= names(client.answer())
        assert {b"X-Mixed", b"Accept", b"Content-Length", b"Host"} <= names(origin.requests[0])
    origin.forget()
    with Client(ports["plain"]) as client:
        client.send(request)
        assert all(name == name.lower() for name in names(client.answer()) | names(origin.requests[0]))


# Answers that nobody could read with certainty: the client gets 502, and no byte of them (7.1, 6).
BROKEN = {
    "length and chunked": b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "length twice": b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 2\r\n\r\nok",
    "length with sign": b"HTTP/1.1 200 OK\r\nContent-Length: +2\r\n\r\nok",
    "unknown coding": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: xyz\r\n\r\nok",
    "bare LF": b"HTTP/1.1 200 OK\nContent-Length: 2\n\nok",
    "NUL in a value": b"HTTP/1.1 200 OK\r\nA: b\0\r\nContent-Length: 2\r\n\r\nok",
    "lone CR": b"HTTP/1.1 200 OK\r\nA: b\rC: d\r\nContent-Length: 2\r\n\r\nok",
    "folded line": b"HTTP/1.1 200 OK\r\nA: b\r\n c\r\nContent-Length: 2\r\n\r\nok",
    "space before colon": b"HTTP/1.1 200 OK\r\nContent-Length : 2\r\n\r\nok",
    "no status": b"HTTP/1.1 OK\r\nContent-Length: 2\r\n\r\nok",
    "status of four digits": b"HTTP/1.1 2000 OK\r\nContent-Length: 2\r\n\r\nok",
    "status 099": b"HTTP/1.1 099 OK\r\nContent-Length: 2\r\n\r\nok",
    "HTTP/2.0": b"HTTP/2.0 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "no HTTP": b"SSH-2.0-OpenSSH_9.2\r\n\r\n",
    "101 not asked for": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\n",
    "too many interim answers": b"HTTP/1.1 100 Continue\r\n\r\n" * 100 + b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok",
    "101 fields": b"HTTP/1.1 200 OK\r\n" + b"A: b\r\n" * 101 + b"\r\n",
    "a field of 61 KB": b"HTTP/1.1 200 OK\r\nA: " + b"b" * 61 * 1024 + b"\r\n\r\n",
}


@pytest.mark.parametrize("name", BROKEN)
def test_broken_answers(setup, origin, ports, name):
    origin.replies = {b"/x": BROKEN[name]}
    with Client(ports["plain"]) as client:
        client.send(get())
        answer = client.answer()
        assert answer.status in (502, 503) and b"ok" not in answer.body, answer
        client.send(get(b"/y"))
        assert client.answer().status == 200
    assert on_one_connection(origin) is False  # the first one was given up
    setup[0].program.assert_runs()


# Answers that are good, with something behind them: the rest is nobody's answer.
POISON = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
FOLLOWED = {
    "two answers": (Origin.OK + POISON, b"ok"),
    "204 with a body": (b"HTTP/1.1 204 No Content\r\nContent-Length: 6\r\n\r\npoison", b""),
    "304 with a body": (b"HTTP/1.1 304 Not Modified\r\n\r\npoison", b""),
    "longer than said": (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok" + b"x" * 50, b"ok"),
    "chunks and more": (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n" + POISON, b"ok"),
}


@pytest.mark.parametrize("name", FOLLOWED)
def test_bytes_behind_an_answer(origin, ports, name):
    reply, body = FOLLOWED[name]
    origin.replies = {b"/x": reply}
    with Client(ports["plain"]) as client:
        client.send(get())
        assert client.answer().body == body
        client.send(get(b"/y"))
        assert client.answer().body == b"ok"
    assert on_one_connection(origin) is False


def test_an_answer_before_the_request_is_nobodys(origin, ports):
    is_answered, is_closed = threading.Event(), threading.Event()

    def serve(connection, _):
        connection.sendall(Origin.OK)
        is_answered.wait(10)
        connection.sendall(POISON)  # while the connection lies in the pool
        if connection.recv(1) == b"":
            is_closed.set()
        return False

    origin.replies = {b"/x": serve}
    with Client(ports["plain"]) as client:
        client.send(get())
        assert client.answer().body == b"ok"
        is_answered.set()
        assert is_closed.wait(10)
        for _ in range(3):
            client.send(get(b"/y"))
            assert client.answer().body == b"ok"


UPGRADE = get(b"/ws", b"Connection: Upgrade", b"Upgrade: websocket", b"Sec-WebSocket-Key: k")


def test_an_upgrade_becomes_a_tunnel(origin, ports):
    def echo(connection, _):
        connection.sendall(b"HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nwelcome ")
        while data := connection.recv(65536):
            connection.sendall(data.upper())
        connection.sendall(b" BYE")  # the other half ends on its own
        return False

    origin.replies = {b"/ws": echo}
    with Client(ports["upgrade"]) as client:
        client.send(UPGRADE + b"early ")
        answer = client.answer()
        assert answer.status == 101 and answer.get(b"upgrade") == b"websocket" and answer.get(b"connection").lower() == b"upgrade"
        assert client.wire.take(14) == b"welcome EARLY "
        client.send(b"\0\xffGET /x HTTP/1.1\r\n\r\n")
        assert client.wire.take(19) == b"\0\xffGET /X HTTP/1.1\r\n"
        client.socket.shutdown(socket.SHUT_WR)
        assert client.wire.take(6) == b"\r\n BYE" and client.at_end()
    assert origin.requests[0].get(b"sec-websocket-key") == b"k"


@pytest.mark.parametrize("reply", [Origin.OK, b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"])
def test_nothing_is_left_of_a_refused_upgrade(origin, ports, reply):
    """Bytes sent as a tunnel's are no request, for nobody (CVE-2026-73548, CVE-2025-64763)."""
    is_closed = threading.Event()

    def refuse(connection, request):
        assert request.rest == b""
        connection.sendall(reply)
        if connection.recv(65536) == b"":
            is_closed.set()
        return False

    origin.replies = {b"/ws": refuse}
    with Client(ports["upgrade"]) as client:
        client.send(UPGRADE + get(b"/smuggled"))
        assert client.answer().raw_head.split(b" ")[1] == reply.split(b" ")[1]
        assert client.at_end()
    assert is_closed.wait(10), "the connection to the origin is used again"
    assert origin.seen(b"/smuggled") == []


CUT = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhel",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhel",
    "chunk size": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\nzz\r\n",
    "last chunk": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nhel\r\n0\r\n",
}


@pytest.mark.parametrize("name", CUT)
def test_cut_answers_are_not_completed(origin, ports, name):
    origin.replies = {b"/x": one_answer(CUT[name])}
    with Client(ports["plain"]) as client:
        client.send(get())
        with pytest.raises((Incomplete, ConnectionResetError)):
            client.answer()
