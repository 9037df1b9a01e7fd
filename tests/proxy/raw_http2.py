"""HTTP/2 by hand (RFC 9113): a client that sends any frames. Fields are written as literals; of answers only the status is
decoded, which is all that tests of frames need."""
import socket
import struct

from proxies import Closing
from raw_http import Incomplete, Wire

DATA, HEADERS, PRIORITY, RST_STREAM, SETTINGS, PUSH_PROMISE, PING, GOAWAY, WINDOW_UPDATE, CONTINUATION = range(10)
END_STREAM, ACK, END_HEADERS = 1, 1, 4
NO_ERROR, PROTOCOL_ERROR, FLOW_CONTROL_ERROR, STREAM_CLOSED, REFUSED_STREAM, CANCEL, ENHANCE_YOUR_CALM = 0, 1, 3, 5, 7, 8, 11
MAX_CONCURRENT_STREAMS, INITIAL_WINDOW_SIZE, ENABLE_CONNECT_PROTOCOL = 3, 4, 8
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


def frame(kind, flags=0, stream=0, payload=b""):
    return struct.pack(">I", len(payload))[1:] + bytes([kind, flags]) + struct.pack(">I", stream) + payload


def number(value, prefix_bits, first=0):
    """RFC 7541 §5.1."""
    limit = (1 << prefix_bits) - 1
    if value < limit:
        return bytes([first | value])
    out, value = bytes([first | limit]), value - limit
    while value >= 128:
        out, value = out + bytes([value % 128 + 128]), value // 128
    return out + bytes([value])


def text(value):
    return number(len(value), 7) + value


def literal(name, value):
    return b"\0" + text(name) + text(value)


def block(*fields):
    return b"".join(literal(name, value) for name, value in fields)


def request(path=b"/x", *fields, method=b"GET", scheme=b"http", authority=b"a"):
    return block((b":method", method), (b":scheme", scheme), (b":authority", authority), (b":path", path), *fields)


def settings(**values):
    names = {"header_table_size": 1, "enable_push": 2, "max_concurrent_streams": 3, "initial_window_size": 4, "max_frame_size": 5}
    return frame(SETTINGS, payload=b"".join(struct.pack(">HI", names[name], value) for name, value in values.items()))


STATUS_OF_INDEX = {8: 200, 9: 204, 10: 206, 11: 304, 12: 400, 13: 404, 14: 500}


def status(header_block):
    """:status, which stands first; after updates of the table's size."""
    while header_block[0] & 0xe0 == 0x20:
        header_block = header_block[1:]
    first = header_block[0]
    if first & 0x80:
        return STATUS_OF_INDEX[first & 0x7f]
    assert first in (0x48, 0x08, 0x18), header_block  # literal with the name of index 8
    is_huffman, size = header_block[1] & 0x80, header_block[1] & 0x7f
    value = header_block[2:2 + size]
    if not is_huffman:
        return int(value)
    bits, digits = "".join(f"{byte:08b}" for byte in value), ""
    while len(digits) < 3:  # 0-2 have five bits, 3-9 six (RFC 7541, appendix B)
        small = int(bits[:5], 2)
        if small < 3:
            digits, bits = digits + str(small), bits[5:]
        else:
            digits, bits = digits + str(int(bits[:6], 2) - 0b011001 + 3), bits[6:]
    return int(digits)


class Http2(Closing):
    """A client's connection. What it reads is kept in `frames`: (type, flags, stream, payload)."""

    def __init__(self, port, preface=True, timeout=10, receive_buffer=None, **own_settings):
        self.socket = socket.socket()
        self.socket.settimeout(timeout)
        if receive_buffer:
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
        self.socket.connect(("127.0.0.1", port))
        self.wire, self.frames, self.ended = Wire(self.socket), [], False
        if preface:
            self.send(PREFACE + settings(header_table_size=0, **own_settings))  # so that `status` needs no table

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            self.ended = True

    def headers(self, stream, header_block, end=True):
        pieces = [header_block[at:at + 16384] for at in range(0, len(header_block), 16384)]
        for i, piece in enumerate(pieces):
            last = END_HEADERS if piece is pieces[-1] else 0
            self.send(frame(CONTINUATION, last, stream, piece) if i else
                      frame(HEADERS, last | (END_STREAM if end else 0), stream, piece))

    def read(self):
        """The next frame; None at the end."""
        try:
            head = self.wire.take(9)
            payload = self.wire.take(int.from_bytes(head[:3], "big"))
        except (Incomplete, ConnectionResetError):
            self.ended = True
            return None
        read = (head[3], head[4], int.from_bytes(head[5:9], "big") & 0x7fffffff, payload)
        self.frames.append(read)
        return read

    def until(self, condition):
        """Reads up to and including the frame for which it holds, and returns that; None at the end."""
        for seen in self.frames:
            if condition(*seen):
                return seen
        while (seen := self.read()) is not None:
            if condition(*seen):
                return seen
        return None

    def answer(self, stream):
        """(status, body) of a stream, or ("reset", code), or ("goaway", code) when that came first."""
        body, code = b"", None
        done = self.until(lambda kind, flags, at, payload: (at == stream and (kind == RST_STREAM or (
            kind in (DATA, HEADERS) and flags & END_STREAM))) or (kind == GOAWAY and payload[4:8] != b"\0\0\0\0"))
        for kind, flags, at, payload in self.frames:
            if at != stream:
                continue
            if kind == HEADERS and code is None and (got := status(payload)) >= 200:
                code = got
            if kind == DATA:
                body += payload
        if done is None:
            return ("ended", None)
        if done[0] == RST_STREAM and code is None:
            return ("reset", int.from_bytes(done[3], "big"))
        if done[0] == GOAWAY:
            return ("goaway", int.from_bytes(done[3][4:8], "big"))
        return (code, body)

    def get(self, stream, path=b"/x", *fields, **kwargs):
        self.headers(stream, request(path, *fields, **kwargs))
        return self.answer(stream)

    def ping(self, payload=b"12345678"):
        """Sends one and waits for its answer: everything sent before was read."""
        self.send(frame(PING, payload=payload))
        return self.until(lambda kind, flags, _, got: kind == PING and flags & ACK and got == payload)

    def goaway(self):
        """The code the connection ended with; reads to its end."""
        self.until(lambda *_: False)
        codes = [int.from_bytes(payload[4:8], "big") for kind, _, _, payload in self.frames if kind == GOAWAY]
        return codes[-1] if codes else None

    def close(self):
        self.socket.close()
