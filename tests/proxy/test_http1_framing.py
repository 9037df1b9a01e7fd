"""Requests that are put together wrongly never reach the origin, and what looks odd but is right does. Raw bytes through
meltemi-proxy to an origin that records every byte (RFC 9112, request smuggling)."""
import pytest

from meshes import free_port, wait_until
from proxies import Proxy, cluster, http_manager, listener
from raw_http import Client, Origin


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    port = free_port()
    with Origin() as origin:
        with Proxy(tmp_path_factory.mktemp("framing"), [listener(port, http_manager())], [cluster(origin.port)]) as proxy:
            yield proxy, origin, port


def head(*fields, line=b"POST /x HTTP/1.1", host=b"Host: a"):
    return b"\r\n".join([line, *([host] if host else []), *fields]) + b"\r\n\r\n"


CHUNKED = head(b"Transfer-Encoding: chunked")
SMUGGLED = b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n"

# name: (value of transfer-encoding, status)
CODINGS = {
    "chunked twice": (b"chunked, chunked", 400),
    "chunked not last": (b"chunked, gzip", 400),
    "unknown coding": (b"xchunked", 501),
    "gzip under chunked": (b"gzip, chunked", 501),
    "coding with vertical tab": (b"\x0bchunked", 400),
    "coding with quote": (b"\"chunked\"", 400),
}
CHUNK_SIZES = {
    "with 0x": b"0x5",
    "with sign": b"+5",
    "below zero": b"-5",
    "after space": b" 5",
    "before space": b"5 ",
    "beyond 64 bits": b"10000000000000005",
    "missing": b"",
}

# name: (bytes, status)
REFUSED = {
    # Two ways to say how long a body is (7.1, 1).
    "length and chunked": (head(b"Content-Length: 5", b"Transfer-Encoding: chunked") + b"0\r\n\r\n" + SMUGGLED, 400),
    "chunked and length": (head(b"Transfer-Encoding: chunked", b"Content-Length: 5") + b"0\r\n\r\n" + SMUGGLED, 400),
    "length twice": (head(b"Content-Length: 5", b"Content-Length: 5") + b"hello", 400),
    "lengths that differ": (head(b"Content-Length: 5", b"Content-Length: 6") + b"hello!", 400),
    "length as list": (head(b"Content-Length: 5, 5") + b"hello", 400),
    "length with sign": (head(b"Content-Length: +5") + b"hello", 400),
    "length below zero": (head(b"Content-Length: -1"), 400),
    "length in hex": (head(b"Content-Length: 0x5") + b"hello", 400),
    "length with space": (head(b"Content-Length: 1 0") + b"hello hell", 400),
    "length empty": (head(b"Content-Length:"), 400),
    "length with letters": (head(b"Content-Length: 5a") + b"hello", 400),
    "length beyond 64 bits": (head(b"Content-Length: 18446744073709551621") + b"hello", 400),
    # Codings.
    **{name: (head(b"Transfer-Encoding: " + value) + b"0\r\n\r\n", status) for name, (value, status) in CODINGS.items()},
    "two lines of codings": (head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: chunked") + b"0\r\n\r\n", 400),
    "chunked and identity": (head(b"Transfer-Encoding: chunked", b"Transfer-Encoding: identity") + b"0\r\n\r\n", 400),
    "space before colon": (head(b"Transfer-Encoding : chunked") + b"0\r\n\r\n", 400),
    "coding empty": (head(b"Transfer-Encoding:") + SMUGGLED, 400),
    "coding in HTTP/1.0": (head(b"Transfer-Encoding: chunked", line=b"POST /x HTTP/1.0") + b"0\r\n\r\n", 400),
    # Chunks (7.1, 1 and 2).
    **{f"chunk size {name}": (CHUNKED + size + b"\r\nhello\r\n0\r\n\r\n", 400) for name, size in CHUNK_SIZES.items()},
    "chunk size of zeros": (CHUNKED + b"0" * 40 + b"5\r\nhello\r\n0\r\n\r\n", 400),
    "chunk line ends with LF": (CHUNKED + b"5\nhello\r\n0\r\n\r\n", 400),
    "chunk ends with LF": (CHUNKED + b"5\r\nhello\n0\r\n\r\n", 400),
    "chunk longer than said": (CHUNKED + b"5\r\nhello!\r\n0\r\n\r\n", 400),
    "extension with LF": (CHUNKED + b"5;a\nb\r\nhello\r\n0\r\n\r\n", 400),
    "extension with CR": (CHUNKED + b"5;a\rb\r\nhello\r\n0\r\n\r\n", 400),
    "extension with NUL": (CHUNKED + b"5;a\0\r\nhello\r\n0\r\n\r\n", 400),
    "extension without end": (CHUNKED + b"5;" + b"a" * 5000 + b"\r\nhello\r\n0\r\n\r\n", 400),
    "trailer with LF": (CHUNKED + b"0\r\nA: b\nC: d\r\n\r\n", 400),
    "trailer folded": (CHUNKED + b"0\r\nA: b\r\n c\r\n\r\n", 400),
    "trailer with NUL": (CHUNKED + b"0\r\nA: \0\r\n\r\n", 400),
    "trailers too long": (CHUNKED + b"0\r\nA: " + b"b" * 70_000 + b"\r\n\r\n", 400),
    # Lines and characters (7.1, 2).
    "bare LF": (b"GET /x HTTP/1.1\nHost: a\n\n", 400),
    "LF inside a head": (b"GET /x HTTP/1.1\r\nHost: a\nA: b\r\n\r\n", 400),
    "lone CR in a value": (head(b"A: b\rC: d"), 400),
    "lone CR before a name": (head(b"\rA: b"), 400),
    "NUL in a value": (head(b"A: b\0c"), 400),
    "NUL in a name": (head(b"A\0: b"), 400),
    "control in a value": (head(b"A: b\x01c"), 400),
    "delete in a value": (head(b"A: b\x7fc"), 400),
    "folded line": (head(b"A: b", b" c"), 400),
    "folded with tab": (head(b"A: b", b"\tc"), 400),
    "space before the first field": (b"GET /x HTTP/1.1\r\n Host: a\r\n\r\n", 400),
    "no colon": (head(b"A b"), 400),
    "no name": (head(b": b"), 400),
    "space in a name": (head(b"A b: c"), 400),
    "name beyond ASCII": (head(b"\xc3\xa4: b"), 400),
    "parenthesis in a name": (head(b"A(b): c"), 400),
    # Request lines.
    "HTTP/0.9": (b"GET /x\r\n\r\n", 400),
    "two spaces": (head(line=b"GET  /x HTTP/1.1"), 400),
    "tab for space": (head(line=b"GET\t/x HTTP/1.1"), 400),
    "space in the target": (head(line=b"GET /x y HTTP/1.1"), 400),
    "control in the target": (head(line=b"GET /x\x01 HTTP/1.1"), 400),
    "no target": (head(line=b"GET HTTP/1.1"), 400),
    "space at the end": (head(line=b"GET /x HTTP/1.1 "), 400),
    "method with brackets": (head(line=b"GE[T] /x HTTP/1.1"), 400),
    "version in lower case": (head(line=b"GET /x http/1.1"), 400),
    "version 1.2": (head(line=b"GET /x HTTP/1.2"), 505),
    "version 2.0": (head(line=b"GET /x HTTP/2.0"), 505),
    "version 1.10": (head(line=b"GET /x HTTP/1.10"), 400),
    "target without slash": (head(line=b"GET x HTTP/1.1"), 400),
    "star for GET": (head(line=b"GET * HTTP/1.1"), 400),
    "authority for GET": (head(line=b"GET a:80 HTTP/1.1"), 400),
    "other scheme": (head(line=b"GET ftp://a/x HTTP/1.1"), 400),
    "absolute without host": (head(line=b"GET http:///x HTTP/1.1"), 400),
    "user in the authority": (head(line=b"GET http://u@a/x HTTP/1.1"), 400),
    "CONNECT without port": (head(line=b"CONNECT a HTTP/1.1"), 400),
    "CONNECT with path": (head(line=b"CONNECT /x HTTP/1.1"), 400),
    # Hosts.
    "no host": (head(host=None), 400),
    "two hosts": (head(b"Host: b"), 400),
    "two equal hosts": (head(b"Host: a"), 400),
    "host with slash": (head(host=b"Host: a/b"), 400),
    "host with space": (head(host=b"Host: a b"), 400),
    "host with user": (head(host=b"Host: u@a"), 400),
    "host list": (head(host=b"Host: a, b"), 400),
    # Sizes (7.3).
    "101 fields": (head(*[b"A: b"] * 101), 431),
    "a field of 61 KB": (head(b"A: " + b"b" * 61 * 1024), 431),
    "a target of 61 KB": (head(line=b"GET /" + b"x" * 61 * 1024 + b" HTTP/1.1"), 431),
}


@pytest.mark.parametrize("name", REFUSED)
def test_is_refused(setup, name):
    proxy, origin, port = setup
    data, status = REFUSED[name]
    origin.forget()
    with Client(port) as client:
        client.send(data + SMUGGLED)
        answer = client.answer()
        assert answer is not None and answer.status == status, answer
        assert answer.get(b"connection") == b"close"
        assert client.at_end()
    assert origin.requests == [], "the origin saw a whole request"
    proxy.program.assert_runs()


# name: (bytes, what the origin must have seen of it)
ACCEPTED = {
    "empty line before": (b"\r\n\r\n" + head(line=b"GET /x HTTP/1.1"), {}),
    "unknown method": (head(line=b"BREW /x HTTP/1.1"), {"method": b"BREW"}),
    "method of odd characters": (head(line=b"M!#$%&'*+-.^_`|~9 /x HTTP/1.1"), {"method": b"M!#$%&'*+-.^_`|~9"}),
    "white space around values": (head(b"A: \t b c \t "), {"a": b"b c"}),
    "no white space": (head(b"A:b"), {"a": b"b"}),
    "empty value": (head(b"A:"), {"a": b""}),
    "bytes beyond ASCII": (head(b"A: \xc3\xa4\xff"), {"a": b"\xc3\xa4\xff"}),
    "names of odd characters": (head(b"!#$%&'*+-.^_`|~9: b"), {"!#$%&'*+-.^_`|~9": b"b"}),
    "underscore": (head(b"a_b: c"), {"a_b": b"c"}),
    "values that repeat": (head(b"A: b", b"A: c"), {"a": b"b, c"}),
    "absolute form": (head(line=b"GET http://b:81/x HTTP/1.1"), {"host": b"b:81", "target": b"/x"}),
    "absolute form in upper case": (head(line=b"GET HTTP://b/x HTTP/1.1"), {"host": b"b", "target": b"/x"}),
    "absolute form without path": (head(line=b"GET http://b?x HTTP/1.1"), {"host": b"b", "target": b"/?x"}),
    "length": (head(b"Content-Length: 5") + b"hello", {"body": b"hello"}),
    "length with zeros": (head(b"Content-Length: 005") + b"hello", {"body": b"hello"}),
    "chunks": (CHUNKED + b"5\r\nhello\r\n1\r\n!\r\n0\r\n\r\n", {"body": b"hello!"}),
    "chunk sizes in hex": (CHUNKED + b"A\r\n0123456789\r\n00b\r\n01234567890\r\n000\r\n\r\n", {"body": b"012345678901234567890"}),
    "extensions go": (CHUNKED + b"5;a=b;c=\"d\"\r\nhello\r\n0;e\r\n\r\n", {"body": b"hello", "raw": b";a=b"}),
    "coding in upper case": (head(b"Transfer-Encoding: Chunked") + b"5\r\nhello\r\n0\r\n\r\n", {"body": b"hello"}),
    "coding after tab": (head(b"Transfer-Encoding:\tchunked") + b"5\r\nhello\r\n0\r\n\r\n", {"body": b"hello"}),
    "trailers go": (CHUNKED + b"5\r\nhello\r\n0\r\nA: b\r\nContent-Length: 5\r\n\r\n", {"body": b"hello", "trailers": []}),
    "hop fields go": (head(b"Connection: x, close-not", b"X: y", b"Keep-Alive: z", b"Proxy-Connection: q", b"TE: gzip"),
                      {"x": None, "keep-alive": None, "proxy-connection": None, "connection": None, "te": None}),
    "trailers may be asked for": (head(b"Connection: TE", b"TE: trailers, gzip"), {"te": b"trailers"}),
    "upgrade to h2c is not heard": (head(b"Connection: Upgrade, HTTP2-Settings", b"Upgrade: h2c", b"HTTP2-Settings: AA"),
                                    {"upgrade": None, "http2-settings": None}),
    "60 KB of fields": (head(b"A: " + b"b" * 50_000), {"a": b"b" * 50_000}),
}


@pytest.mark.parametrize("name", ACCEPTED)
def test_is_passed_on(setup, name):
    proxy, origin, port = setup
    data, expected = ACCEPTED[name]
    origin.forget()
    with Client(port) as client:
        client.send(data)
        answer = client.answer()
        assert answer is not None and answer.status == 200 and answer.body == b"ok", answer
        client.send(head(line=b"GET /after HTTP/1.1"))  # the connection goes on, in step
        assert client.answer().status == 200
    seen, after = origin.requests
    assert after.target == b"/after"
    facts = {"method": seen.first.split(b" ")[0], "target": seen.target, "body": seen.body, "trailers": seen.trailers}
    for key, value in expected.items():
        if key == "raw":
            assert value not in seen.raw_head + seen.body
        else:
            assert facts.get(key, seen.get(key.encode())) == value, (key, seen)
    assert seen.first.endswith(b" HTTP/1.1") and seen.get(b"host") is not None


@pytest.mark.parametrize("data", [head(b"Content-Length: 5") + b"hel", CHUNKED + b"5\r\nhel", CHUNKED + b"5\r\nhello\r\n",
                                  CHUNKED + b"5\r\nhello\r\n0\r\n"])
def test_bodies_cut_off_are_not_completed(setup, data):
    _, origin, port = setup
    origin.forget()
    with Client(port) as client:
        client.send(data)
        wait_until(lambda: origin.begun, what="the origin to hear of the request")
    wait_until(lambda: origin.broken, what="the origin to hear of the end")
    assert origin.requests == []


@pytest.mark.parametrize("action, expected", [("ALLOW", (200, b"c")), ("REJECT_REQUEST", (400, None)), ("DROP_HEADER", (200, None))])
def test_underscores(tmp_path, action, expected):
    port = free_port()
    manager = http_manager(common_http_protocol_options={"headers_with_underscores_action": action})
    with Origin() as origin, Proxy(tmp_path, [listener(port, manager)], [cluster(origin.port)]):
        with Client(port) as client:
            client.send(head(b"a_b: c", line=b"GET /x HTTP/1.1"))
            answer = client.answer()
            seen = origin.requests[0].get(b"a_b") if origin.requests else None
            assert (answer.status, seen) == expected


def test_pipelined_requests_are_answered_in_order(setup):
    _, origin, port = setup
    origin.forget()
    gate_order = []

    def slow(connection, request):
        gate_order.append(request.rest)  # nothing may wait behind a request: no pipelining to the origin
        connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nslow\r\n0\r\n\r\n")
        return True

    origin.replies = {b"/slow": slow}
    try:
        with Client(port) as client:
            client.send(head(line=b"GET /slow HTTP/1.1") + head(b"Content-Length: 5", line=b"POST /b HTTP/1.1") + b"hello"
                        + head(line=b"GET /slow HTTP/1.1") + head(line=b"GET /d HTTP/1.1"))
            assert [client.answer().body for _ in range(4)] == [b"slow", b"ok", b"slow", b"ok"]
    finally:
        origin.replies = {}
    assert [request.target for request in origin.requests] == [b"/slow", b"/b", b"/slow", b"/d"]
    assert gate_order == [b"", b""]
