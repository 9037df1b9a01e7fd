"""Large bodies on purpose slowly: an origin that sends and takes any number of bytes, clients that stop reading, and what a
process needs in memory meanwhile. asyncio; everything runs on the loop of the test."""
import asyncio
import re
import socket
import struct
import subprocess
import zlib

from meshes import BIN
from proxies import typed

IS_SANITIZED = b"__asan_init" in (BIN / "meltemi-proxy").read_bytes()  # then memory says nothing, and all is slow
PATTERN = bytes((n * n + n // 251) % 251 for n in range(64 * 1024 - 5))  # no divisor of any buffer's size


def piece(at, size):
    """Bytes [at, at + size) of the endless body."""
    start = at % len(PATTERN)
    return (PATTERN * (size // len(PATTERN) + 2))[start:start + size]


def checksum(size):
    crc, at = 0, 0
    while at < size:
        part = piece(at, min(1 << 16, size - at))
        crc, at = zlib.crc32(part, crc), at + len(part)
    return crc


class BulkOrigin(asyncio.Protocol):
    """GET /bytes/N and /chunked/N answer N bytes; anything with a body is taken, and answered with its size and checksum.
    Reads no further than the head while `gate` (of the server) is not set."""

    def __init__(self, server):
        self.server, self.can_write, self.data, self.task = server, asyncio.Event(), bytearray(), None
        self.can_write.set()
        self.news = asyncio.Event()

    def connection_made(self, transport):
        self.transport = transport
        self.server.connections.add(self)
        transport.set_write_buffer_limits(high=16 * 1024)
        if self.server.receive_buffer:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.server.receive_buffer)
        self.task = asyncio.ensure_future(self.serve())

    def data_received(self, data):
        self.data += data
        self.server.received += len(data)
        if len(self.data) > 256 * 1024:
            self.transport.pause_reading()
        self.news.set()

    def pause_writing(self):
        self.can_write.clear()

    def resume_writing(self):
        self.can_write.set()

    def connection_lost(self, _):
        self.server.connections.discard(self)
        self.task.cancel()

    async def more(self):
        self.news.clear()
        self.transport.resume_reading()
        await self.news.wait()

    async def line(self):
        while (end := self.data.find(b"\r\n")) < 0:
            await self.more()
        line = bytes(self.data[:end])
        del self.data[:end + 2]
        return line

    async def exactly(self, size, crc):
        while size:
            if not self.data:
                await self.more()
            part = bytes(self.data[:size])
            del self.data[:len(part)]
            crc, size = zlib.crc32(part, crc), size - len(part)
        return crc

    async def serve(self):
        while True:
            first = await self.line()
            fields = {}
            while line := await self.line():
                name, _, value = line.partition(b":")
                fields[name.lower()] = value.strip()
            if not self.server.gate.is_set():
                self.transport.pause_reading()
                await self.server.gate.wait()
            size, crc = await self.body(fields)
            await self.answer(first, b"%d %d" % (size, crc))

    async def body(self, fields):
        if b"content-length" in fields:
            size = int(fields[b"content-length"])
            return size, await self.exactly(size, 0)
        size = crc = 0
        if b"transfer-encoding" in fields:
            while chunk := int(await self.line(), 16):
                crc, size = await self.exactly(chunk, crc), size + chunk
                assert await self.line() == b""
            while await self.line():
                pass
        return size, crc

    async def answer(self, first, report):
        asked = re.search(rb"/(bytes|chunked)/(\d+)", first)
        if not asked:
            self.transport.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % len(report) + report)
            return
        is_chunked, size = asked[1] == b"chunked", int(asked[2])
        self.transport.write(b"HTTP/1.1 200 OK\r\n" + (b"transfer-encoding: chunked\r\n\r\n" if is_chunked else b"content-length: %d\r\n\r\n" % size))
        at = 0
        while at < size:
            await self.can_write.wait()
            part = piece(at, min(1 << 15, size - at))
            self.transport.write(b"%x\r\n%s\r\n" % (len(part), part) if is_chunked else part)
            at += len(part)
            self.server.sent += len(part)
        if is_chunked:
            self.transport.write(b"0\r\n\r\n")


class BulkServer:
    """The origin's listening side. `sent` and `received` bytes say when everybody is stuck."""

    def __init__(self, receive_buffer=None):
        self.connections, self.sent, self.received, self.receive_buffer = set(), 0, 0, receive_buffer
        self.gate = asyncio.Event()
        self.gate.set()

    async def start(self):
        listening = socket.create_server(("127.0.0.1", 0), backlog=2048)
        if self.receive_buffer:
            listening.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self.receive_buffer)  # inherited
        self.server = await asyncio.get_running_loop().create_server(lambda: BulkOrigin(self), sock=listening, backlog=2048)
        self.port = listening.getsockname()[1]
        return self

    def close(self):
        self.server.close()
        for connection in list(self.connections):
            connection.transport.abort()


class Reader(asyncio.Protocol):
    """A client that reads nothing until it is told to, and sends a body as far as it is taken (`sent`)."""

    def __init__(self):
        self.can_write, self.sent = asyncio.Event(), 0
        self.can_write.set()
        self.ended, self.wanted = asyncio.get_running_loop().create_future(), None
        self.head, self.size, self.crc = b"", 0, 0

    def connection_made(self, transport):
        self.transport = transport
        transport.set_write_buffer_limits(high=16 * 1024)

    def pause_writing(self):
        self.can_write.clear()

    def resume_writing(self):
        self.can_write.set()

    async def send_body(self, size, is_chunked):
        while self.sent < size:
            await self.can_write.wait()
            part = piece(self.sent, min(1 << 15, size - self.sent))
            self.transport.write(b"%x\r\n%s\r\n" % (len(part), part) if is_chunked else part)
            self.sent += len(part)
        if is_chunked:
            self.transport.write(b"0\r\n\r\n")

    def data_received(self, data):
        if self.head is not None:
            self.head += data
            head, mark, data = self.head.partition(b"\r\n\r\n")
            if not mark:
                return
            self.status, self.head = head, None
        self.crc, self.size = zlib.crc32(data, self.crc), self.size + len(data)
        if self.size == self.wanted and not self.ended.done():
            self.ended.set_result(None)

    def connection_lost(self, error):
        if not self.ended.done():
            self.ended.set_exception(error or ConnectionResetError("ended early"))
            self.ended.exception()  # seen


async def slow_reader(port, request, receive_buffer=4096, tls=None):
    """Connects, sends, reads not a byte. resume() of its transport lets it go on."""
    loop = asyncio.get_running_loop()
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
    sock.setblocking(False)
    await loop.sock_connect(sock, ("127.0.0.1", port))
    options = {"ssl": tls, "server_hostname": "localhost"} if tls else {}
    transport, reader = await loop.create_connection(Reader, sock=sock, **options)
    transport.pause_reading()
    transport.write(request)
    return reader


def self_signed(directory):
    """A listener's `transport_socket` with a certificate of its own, written to `directory`."""
    key, chain = directory / "key.pem", directory / "chain.pem"
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-keyout", key, "-out", chain,
                    "-subj", "/CN=localhost", "-days", "2"], check=True, capture_output=True)
    pair = {"certificate_chain": {"filename": str(chain)}, "private_key": {"filename": str(key)}}
    return typed("envoy.transport_sockets.tls", "transport_sockets.tls.v3.DownstreamTlsContext", common_tls_context={"tls_certificates": [pair]})


def resident_bytes(pid):
    with open(f"/proc/{pid}/smaps_rollup") as file:
        return int(re.search(r"^Rss:\s+(\d+) kB", file.read(), re.M)[1]) * 1024


class Memory:
    """Growth of a process from where it was when this was made."""

    def __init__(self, pid):
        self.pid, self.base, self.most = pid, resident_bytes(pid), 0

    def growth(self):
        grown = resident_bytes(self.pid) - self.base
        self.most = max(self.most, grown)
        return grown

    async def while_moving(self, counter, still_seconds=0.7, limit_seconds=60):
        """Waits until `counter()` stands still: everybody who could be sent something was."""
        loop = asyncio.get_running_loop()
        deadline, last, since = loop.time() + limit_seconds, None, loop.time()
        while loop.time() - since < still_seconds:
            assert loop.time() < deadline, f"still moving: {last}"
            await asyncio.sleep(0.05)
            self.growth()
            if (now := counter()) != last:
                last, since = now, loop.time()
        return last


# -- HTTP/2, as far as a client needs that asks for bodies and holds its windows back

DATA, HEADERS, RST_STREAM, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8


def frame(kind, flags, stream, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def literal(name, value):
    return b"\0" + bytes([len(name)]) + name + bytes([len(value)]) + value


class Http2Client(asyncio.Protocol):
    """`streams[id]` = [bytes, checksum, ended]. Windows of streams in `held` are never opened again."""

    def __init__(self):
        self.data, self.streams, self.held, self.unheld = bytearray(), {}, set(), {}
        self.news, self.failure, self.credit = asyncio.Event(), None, {}

    def connection_made(self, transport):
        self.transport = transport
        transport.write(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + frame(SETTINGS, 0, 0))

    def connection_lost(self, error):
        self.failure = self.failure or f"ended: {error}"
        self.news.set()

    def ask(self, stream, path, held=False):
        self.streams[stream] = [0, 0, False]
        if held:
            self.held.add(stream)
        block = literal(b":method", b"GET") + literal(b":scheme", b"http") + literal(b":authority", b"a") + literal(b":path", path)
        self.transport.write(frame(HEADERS, 5, stream, block))

    def release(self):
        """Opens what was held back."""
        for stream in self.held:
            if bytes_held := self.unheld.get(stream, 0):
                self.open(stream, bytes_held)
        self.held = set()

    def open(self, stream, size):
        self.transport.write(frame(WINDOW_UPDATE, 0, stream, struct.pack(">I", size)))

    def data_received(self, data):
        self.data += data
        while len(self.data) >= 9 and len(self.data) >= 9 + (size := int.from_bytes(self.data[:3], "big")):
            kind, flags, stream = self.data[3], self.data[4], int.from_bytes(self.data[5:9], "big")
            payload = bytes(self.data[9:9 + size])
            del self.data[:9 + size]
            self.on_frame(kind, flags, stream, payload)
        self.news.set()

    def on_frame(self, kind, flags, stream, payload):
        if kind == DATA:
            at = self.streams[stream]
            at[0], at[1] = at[0] + len(payload), zlib.crc32(payload, at[1])
            if payload:
                self.open(0, len(payload))
                if stream in self.held:
                    self.unheld[stream] = self.unheld.get(stream, 0) + len(payload)
                elif not flags & 1:
                    self.open(stream, len(payload))
        if kind in (DATA, HEADERS) and flags & 1:
            self.streams[stream][2] = True
        if kind in (RST_STREAM, GOAWAY):
            self.failure = f"frame {kind} on {stream}: {payload!r}"
        if kind == SETTINGS and not flags & 1:
            self.transport.write(frame(SETTINGS, 1, 0))
        if kind == PING and not flags & 1:
            self.transport.write(frame(PING, 1, 0, payload))

    async def until(self, condition, seconds=60):
        async def wait():
            while not condition():
                assert not self.failure, self.failure
                self.news.clear()
                await self.news.wait()
        await asyncio.wait_for(wait(), seconds)


async def http2_client(port):
    _, client = await asyncio.get_running_loop().create_connection(Http2Client, "127.0.0.1", port)
    return client
