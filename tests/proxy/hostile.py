"""Peers that misbehave, and a client that must not notice: for the tests of resilience."""
import os
import random
import socket
import ssl
import struct
import threading

from proxies import read_until

SEED = int(os.environ.get("MELTEMI_RESILIENCE_SEED") or random.randrange(1 << 32))


def reset(connection):
    """Ends a connection with RST."""
    try:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    except OSError:
        pass
    connection.close()


class Bystander:
    """A healthy client on a kept-alive connection, all the while. `failures` must stay empty."""

    REQUEST = b"GET /ok HTTP/1.1\r\nHost: bystander\r\n\r\n"

    def __init__(self, port):
        self.port, self.failures, self.answers, self.stopped = port, [], 0, threading.Event()
        self.thread = threading.Thread(target=self.run, daemon=True)

    def run(self):
        with socket.create_connection(("127.0.0.1", self.port), timeout=20) as client:
            while not self.stopped.wait(0.002):
                try:
                    client.sendall(self.REQUEST)
                    answer = read_until(client, b"\r\n\r\n")
                    answer += read_until(client, b"ok") if answer.startswith(b"HTTP/1.1 200") and not answer.endswith(b"ok") else b""
                except OSError as error:
                    answer = repr(error).encode()
                if not answer.startswith(b"HTTP/1.1 200") or not answer.endswith(b"ok"):
                    self.failures.append(answer)
                    return
                self.answers += 1

    def __enter__(self):
        self.thread.start()
        return self

    def __exit__(self, *_):
        self.stopped.set()
        self.thread.join()
        assert not self.failures, f"a healthy client got {self.failures}"
        assert self.answers > 0


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
GET = b"GET /x HTTP/1.1\r\nHost: a\r\n\r\n"
POST = b"POST /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
HEADERS = frame(1, 5, 1, b"\x82\x86\x84\x41\x01a")  # GET / of authority a

GARBAGE = [
    b"", b"\0" * 5000, b"\xff" * 70000, b"A" * 200000, b"\r\n" * 30000, b"\n" * 100, b"GET", GET[:20], GET[:-2], POST, POST + b"5\r\nhel", POST + b"z\r\n",
    POST + b"ffffffffffffffff\r\n", POST + b"0\r\n" + b"x: y\r\n" * 30000, b"GET / HTTP/1.1\r\n" + b"x: y\r\n" * 30000, b"GET /" + b"x" * 200000,
    b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"r" * 600, b"PROXY TCP4 1.1.1.1 1.1.1.1 1 1\r\n", b"\r\n\r\n\0\r\nQUIT\n\x21\x11\xff\xff", GET * 300,
    b"CONNECT a:1 HTTP/1.1\r\nHost: a:1\r\n\r\n" + GET * 20, b"GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n" + b"\x81\x05hello" * 100,
    PREFACE[:10], PREFACE, PREFACE + b"\0" * 9, PREFACE + frame(4, 0, 0), PREFACE + frame(4, 0, 0) + HEADERS, PREFACE + frame(4, 0, 0)[:-3], PREFACE + b"\xff" * 100,
    PREFACE + frame(4, 0, 0, b"\0\4\xff\xff\xff\xff"), PREFACE + frame(4, 0, 0) + frame(1, 4, 1, b"\xff\xff\xff\xff\xff\xff\xff"), PREFACE + frame(4, 0, 0) + frame(0, 0, 1, b"x"),
    PREFACE + frame(4, 0, 0) + frame(8, 0, 0, b"\x7f\xff\xff\xff") * 2, PREFACE + frame(4, 0, 0) + HEADERS + frame(9, 4, 1, b"\x82"), PREFACE + frame(5, 4, 1, b"\0\0\0\2"),
    PREFACE + frame(4, 0, 0) + frame(6, 0, 0, b"12345678") * 20000, PREFACE + frame(4, 0, 0) * 20000, PREFACE + frame(4, 0, 0) + frame(3, 0, 1, b"\0\0\0\1"),
    PREFACE + frame(4, 0, 0) + b"".join(frame(1, 5, n, b"\x82\x86\x84\x41\x01a") + frame(3, 0, n, b"\0\0\0\x08") for n in range(1, 2001, 2)),
    PREFACE + frame(4, 0, 0) + frame(1, 1, 1, b"\x82\x86\x84\x41\x01a") + frame(9, 0, 1) * 20000, PREFACE + frame(4, 0, 0) + frame(0x77, 0xff, 5, b"x" * 16000) * 50]


def client_hello():
    out = ssl.MemoryBIO()
    context = ssl.create_default_context()
    context.set_alpn_protocols(["h2", "http/1.1"])
    session = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname="localhost")
    try:
        session.do_handshake()
    except ssl.SSLWantReadError:
        pass
    return out.read()


def tls_record(kind, payload, size=None):
    return bytes([kind, 3, 3]) + struct.pack(">H", len(payload) if size is None else size) + payload


HELLO = client_hello()
TLS_GARBAGE = [HELLO, HELLO[:5], HELLO[:100], HELLO + HELLO, HELLO + tls_record(23, b"x" * 1000), HELLO + tls_record(21, b"\2\0"), HELLO + tls_record(20, b"\1") * 1000,
               HELLO + b"\0" * 20000, tls_record(22, HELLO[5:], 0xffff), tls_record(22, b"") * 2000, b"".join(tls_record(22, HELLO[n:n + 1]) for n in range(5, len(HELLO))),
               HELLO[:5] + b"\xff" * 600, tls_record(23, b"early"), tls_record(24, b"\1\xff\xff"), b"\x80\x2e\1\0\2" + b"\0" * 50, GET, PREFACE]


def mutated(rng, of=GARBAGE):
    """One of these with some bytes changed, cut at any place."""
    data = bytearray(rng.choice(of)[:4000])
    for _ in range(rng.randrange(6)):
        if data:
            data[rng.randrange(len(data))] = rng.randrange(256)
    return bytes(data[:rng.randrange(len(data) + 1)]) if rng.random() < 0.5 else bytes(data)


def throw(port, data, rng):
    """Sends and goes away in one of the ways there are."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        try:
            client.sendall(data)
            way = rng.randrange(3)
            if way == 0:
                reset(client)
            elif way == 1:
                client.shutdown(socket.SHUT_WR)
                while client.recv(65536):
                    pass
        except TimeoutError:
            raise AssertionError(f"seed {SEED}: not ended though the client has: {data[:200]!r}") from None
        except OSError:
            pass


def head_of(size):
    """An answer whose head never ends, `size` bytes of it."""
    yield b"HTTP/1.1 200 OK\r\n"
    line = b"x-filler: " + b"y" * 500 + b"\r\n"
    for _ in range(size // len(line)):
        yield line


# What an origin says -> (statuses a client may see, whether the body may be cut off)
FAILED = {502, 503}
ANSWERS = {
    "nothing": ([], FAILED), "half a head": ([b"HTTP/1.1 200 OK\r\nContent-Le"], FAILED), "garbage": ([b"\x00\x01\x02 garbage\r\n\r\n"], FAILED),
    "an endless head": (head_of(100 << 20), FAILED), "endless interim answers": ([b"HTTP/1.1 100 Continue\r\n\r\n"] * 100000, FAILED),
    "tls": ([b"\x15\x03\x01\x00\x02\x02\x46"], FAILED), "http2": ([frame(4, 0, 0) + frame(7, 0, 0, b"\0" * 8)], FAILED),
    "no version": ([b"200 OK\r\n\r\n"], FAILED), "status 99": ([b"HTTP/1.1 099 X\r\n\r\n"], FAILED), "status 999": ([b"HTTP/1.1 999 X\r\nContent-Length: 0\r\n\r\n"], FAILED),
    "lengths": ([b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nxx"], FAILED), "bad length": ([b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n"], FAILED),
    "length and chunked": ([b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n"], FAILED),
    "folded": ([b"HTTP/1.1 200 OK\r\nx: a\r\n b\r\nContent-Length: 0\r\n\r\n"], FAILED), "nul": ([b"HTTP/1.1 200 OK\r\nx: a\0b\r\nContent-Length: 0\r\n\r\n"], FAILED),
    "101 unasked": ([b"HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n"], FAILED),
    "cut length": ([b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"], {"cut"}), "cut chunk": ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nshort"], {"cut"}),
    "bad chunk": ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n"], {"cut", 502, 503}),
    "endless trailers": ([b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n", *head_of(1 << 20)], {"cut", 502, 503}),
    "204 with a body": ([b"HTTP/1.1 204 None\r\nContent-Length: 5\r\n\r\nhello"], {204}), "304 with a body": ([b"HTTP/1.1 304 Same\r\nContent-Length: 5\r\n\r\nhello"], {304}),
    "two answers": ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"], {200}),
    "more than the length": ([b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok and more"], {200}),
}

# The same of an origin that speaks HTTP/2: frames behind its SETTINGS, in answer to the request on stream 1.
STATUS = b"\x88"  # :status 200
CUT = {"cut", 502, 503}  # whether the head had gone on by then is a matter of timing
BEGUN = frame(1, 4, 1, STATUS)
HTTP2_ANSWERS = {
    "nothing": (b"", FAILED), "garbage": (b"\xff" * 200, FAILED), "http1": (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", FAILED),
    "reset": (frame(3, 0, 1, b"\0\0\0\x02"), FAILED), "refused": (frame(3, 0, 1, b"\0\0\0\x07"), FAILED), "goaway": (frame(7, 0, 0, b"\0" * 8), FAILED),
    "no status": (frame(1, 5, 1, b"\0\1a\1b"), FAILED), "bad compression": (frame(1, 5, 1, b"\xff\xff\xff\xff\xff\xff"), FAILED),
    "upper case": (frame(1, 5, 1, STATUS + b"\0\1A\1b"), FAILED), "line break in a value": (frame(1, 5, 1, STATUS + b"\0\1a\4b\r\nc"), FAILED),
    "connection field": (frame(1, 5, 1, STATUS + b"\0\x0aconnection\5close"), FAILED), "two status": (frame(1, 5, 1, STATUS * 2), FAILED),
    "data first": (frame(0, 1, 1, b"hello"), FAILED), "headers on 0": (frame(1, 5, 0, STATUS), FAILED), "push": (frame(5, 4, 1, b"\0\0\0\2" + STATUS), FAILED),
    "endless interim answers": (frame(1, 4, 1, b"\x08\x03100") * 5000, FAILED), "window overflow": (frame(8, 0, 1, b"\x7f\xff\xff\xff") * 2, FAILED),
    "huge head": (frame(1, 0, 1, STATUS) + b"".join(frame(9, 0, 1, b"\0\1a\x7f\x81\x7f" + b"v" * 16000) for _ in range(200)), FAILED),
    "endless continuation": (frame(1, 0, 1, STATUS) + frame(9, 0, 1) * 20000, FAILED), "cut frame": (BEGUN + frame(0, 0, 1, b"x" * 100)[:50], CUT),
    "length lies": (frame(1, 4, 1, STATUS + b"\x0f\x0d\x013") + frame(0, 1, 1, b"hello"), CUT), "cut body": (BEGUN + frame(0, 0, 1, b"hello"), CUT),
    "reset body": (BEGUN + frame(0, 0, 1, b"hello") + frame(3, 0, 1, b"\0\0\0\x02"), CUT), "frame too large": (BEGUN + frame(0, 0, 1, b"x" * 20000), CUT),
    "beyond the window": (BEGUN + frame(0, 0, 1, b"x" * 16000) * 200, CUT), "padding too long": (BEGUN + frame(0, 8, 1, b"\xffhello"), CUT),
    "data behind the end": (BEGUN + frame(0, 1, 1, b"hello") + frame(0, 0, 1, b"more"), {200}), "unknown frames": (frame(0x55, 7, 1, b"?") + BEGUN + frame(0x66, 0, 9) + frame(0, 1, 1, b"hello"), {200}),
    "trailers": (BEGUN + frame(0, 0, 1, b"hello") + frame(1, 5, 1, b"\0\1t\1v"), {200}), "trailers with status": (BEGUN + frame(0, 0, 1, b"hello") + frame(1, 5, 1, STATUS), CUT),
}
