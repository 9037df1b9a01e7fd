"""Peers that flood an HTTP/2 connection lose it, and nobody else does (RFC 9113 §10.5 and the CVEs named)."""
import pytest

from meshes import free_port
from proxies import Proxy, cluster, http_manager, listener
from raw_http import Origin
from raw_http2 import (ACK, CONTINUATION, DATA, END_HEADERS, END_STREAM, ENHANCE_YOUR_CALM, GOAWAY, HEADERS, PING, PRIORITY, PROTOCOL_ERROR,
                       RST_STREAM, SETTINGS, WINDOW_UPDATE, Http2, block, frame, literal, number, request, text)


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    port = free_port()
    hold = {b"/hold": lambda connection, _: bool(connection.recv(1)) or False}  # never answers
    with Origin(hold) as origin:
        with Proxy(tmp_path_factory.mktemp("floods"), [listener(port, http_manager())], [cluster(origin.port)]) as proxy:
            yield proxy, origin, port


def open_stream(client):
    client.headers(1, request(b"/hold", method=b"POST"), end=False)


def pings(client):
    client.send(frame(PING, payload=b"12345678") * 5000)


def settings_frames(client):
    client.send(frame(SETTINGS) * 5000)


def settings_answers(client):
    client.send(frame(SETTINGS, ACK) * 5000)


def unknown_frames(client):
    client.send(frame(0x42, payload=b"x") * 5000)


def goaways(client):
    client.send(frame(GOAWAY, payload=b"\0" * 8) * 5000)


def empty_data(client):
    open_stream(client)
    client.send(frame(DATA, stream=1) * 500)


def priorities(client):
    open_stream(client)
    client.send(frame(PRIORITY, stream=1, payload=b"\0\0\0\0\x10") * 500)


def window_updates(client):
    open_stream(client)
    client.send(frame(WINDOW_UPDATE, stream=1, payload=b"\0\0\0\1") * 500)


def window_updates_of_the_connection(client):
    client.send(frame(WINDOW_UPDATE, payload=b"\0\0\0\1") * 500)


def resets_of_ended_streams(client):
    assert client.get(1)[0] == 200
    client.send(frame(RST_STREAM, stream=1, payload=b"\0\0\0\x08") * 5000)


def continuations(client):
    """CVE-2024-27919: a head that never ends."""
    client.send(frame(HEADERS, END_STREAM, 1, request()))
    for i in range(500):
        client.send(frame(CONTINUATION, 0, 1, literal(b"a%d" % i, b"b" * 100)))


def empty_continuations(client):
    client.send(frame(HEADERS, END_STREAM, 1, request()) + frame(CONTINUATION, 0, 1) * 500)


def rapid_resets(client):
    """CVE-2023-44487."""
    for stream in range(1, 2001, 2):
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, request(b"/hold"))
                    + frame(RST_STREAM, stream=stream, payload=b"\0\0\0\x08"))


def resets_that_we_are_made_to_send(client):
    """CVE-2025-8671: the peer breaks each stream so that we reset it."""
    for stream in range(1, 2001, 2):
        client.send(frame(HEADERS, END_HEADERS, stream, request(b"/hold", method=b"POST"))
                    + frame(WINDOW_UPDATE, stream=stream, payload=b"\x7f\xff\xff\xff"))


def malformed_requests(client):
    for stream in range(1, 2001, 2):
        client.send(frame(HEADERS, END_HEADERS | END_STREAM, stream, block((b":method", b"GET"), (b":scheme", b"http"), (b":path", b""))))


def answers_never_read(client):
    """CVE-2019-9512, CVE-2020-12603: answers pile up because nobody reads them."""
    client.socket.settimeout(0.2)
    try:
        for _ in range(10_000):
            client.send(frame(PING, payload=b"12345678") * 1000)
            if client.ended:
                return
    except TimeoutError:
        pass  # the proxy reads no more: as good
    finally:
        client.socket.settimeout(10)


CALM = [pings, settings_frames, settings_answers, unknown_frames, goaways, empty_data, priorities, window_updates,
        window_updates_of_the_connection, resets_of_ended_streams, empty_continuations, rapid_resets,
        resets_that_we_are_made_to_send, malformed_requests, answers_never_read]


@pytest.mark.parametrize("flood", CALM + [continuations], ids=lambda flood: flood.__name__)
def test_flood(setup, flood):
    proxy, _, port = setup
    with Http2(port) as neighbour:
        assert neighbour.get(1)[0] == 200
        with Http2(port, receive_buffer=4096 if flood is answers_never_read else None) as client:
            flood(client)
            code = client.goaway()  # reads to the end, so there is one
            expected = (ENHANCE_YOUR_CALM, PROTOCOL_ERROR) if flood in (continuations, settings_answers) else (ENHANCE_YOUR_CALM,)
            assert code in (*expected, None), code  # None: the answer was lost with what we sent behind it
        assert neighbour.get(3)[0] == 200
    proxy.program.assert_runs()


def test_header_bomb_is_measured_as_decoded(setup):
    """One byte on the wire becomes a field of 4000 bytes (CVE-2026-47774): 431, whatever it weighed when it came."""
    _, origin, port = setup
    origin.forget()
    with Http2(port) as client:
        big = b"\x40" + text(b"bomb") + text(b"b" * 3900)  # goes into the table
        client.headers(1, request(b"/x") + big)
        assert client.answer(1)[0] == 200
        client.headers(3, request(b"/x") + number(62, 7, 0x80) * 50)
        assert client.answer(3)[0] == 431
        assert client.get(5)[0] == 200
    assert len(origin.requests) == 2


def test_crumbs_of_cookies_count(setup):
    _, origin, port = setup
    origin.forget()
    with Http2(port) as client:
        assert client.get(1, b"/x", *[(b"cookie", b"a=%d" % i) for i in range(50)])[0] == 200
        assert client.get(3, b"/x", *[(b"cookie", b"a=%d" % i) for i in range(120)])[0] == 431
        assert client.get(5, b"/x", *[(b"cookie", b"a" * 1000)] * 70)[0] == 431
    assert origin.requests[0].get(b"cookie") == b"; ".join(b"a=%d" % i for i in range(50))


def test_many_given_up_are_no_attack(setup):
    """More than half of them answered: Envoy's measure of a client that merely gives up often."""
    _, _, port = setup
    with Http2(port) as client:
        for stream in range(1, 1800, 6):
            assert client.get(stream)[0] == 200
            assert client.get(stream + 2)[0] == 200
            client.headers(stream + 4, request(b"/hold"))
            client.send(frame(RST_STREAM, stream=stream + 4, payload=b"\0\0\0\x08"))
            client.frames.clear()
        assert client.ping()
