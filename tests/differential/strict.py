"""A strict incremental reader of HTTP/1.1 requests, independent of any proxy: the origin reads with it what a proxy sends,
and the test reads with it what it sent itself. Where RFC 9112 lets a recipient repair something, this one refuses."""
import re

TOKEN = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+\Z")
VALUE = re.compile(rb"[\t\x20-\x7e\x80-\xff]*\Z")
TARGET = re.compile(rb"[\x21-\x7e]+\Z")
VERSION = re.compile(rb"HTTP/1\.[01]\Z")
HOST = re.compile(rb"[-._~!$&'()*+;=%:\[\]0-9A-Za-z]*\Z")
AUTHORITY = re.compile(rb"[-._~!$&'()*+;=%:\[\]0-9A-Za-z]+:[0-9]+\Z")
ABSOLUTE = re.compile(rb"https?://([^/?#]+)([/?#].*)?\Z", re.I | re.S)
CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,15})((?:;[\t\x20-\x7e\x80-\xff]*)?)\Z")
HEAD_MAX = 128 * 1024


class Malformed(Exception):
    pass


class Message:
    __slots__ = ("method", "target", "version", "fields", "body", "trailers", "complete", "closes")

    def __init__(self):
        self.body, self.trailers, self.complete = bytearray(), [], False

    def get(self, name):
        return [value for key, value in self.fields if key == name]


def lines_of(block):
    """Lines of a head without its empty line; each must end in CRLF and hold no other CR or LF."""
    lines = block[:-4].split(b"\r\n")
    for line in lines:
        if b"\r" in line or b"\n" in line:
            raise Malformed("bare CR or LF")
    return lines


def fields_of(lines):
    fields = []
    for line in lines:
        name, colon, value = line.partition(b":")
        if not colon or not TOKEN.match(name):
            raise Malformed(f"field name in {line[:60]!r}")
        value = value.strip(b" \t")
        if not VALUE.match(value):
            raise Malformed(f"field value in {line[:60]!r}")
        fields.append((name.lower(), value))
    return fields


def options_of(message):
    return [option.strip(b" \t").lower() for value in message.get(b"connection") for option in value.split(b",")]


def judge_target(message):
    target, method = message.target, message.method
    if method == b"CONNECT":
        if not AUTHORITY.match(target):
            raise Malformed("CONNECT needs host:port")
    elif target == b"*":
        if method != b"OPTIONS":
            raise Malformed("* is for OPTIONS")
    elif not target.startswith(b"/"):
        absolute = ABSOLUTE.match(target)
        if not absolute or not HOST.match(absolute[1]):
            raise Malformed("target is of no form")


def read_head(block):
    message = Message()
    lines = lines_of(block)
    parts = lines[0].split(b" ")
    if len(parts) != 3 or not TOKEN.match(parts[0]) or not TARGET.match(parts[1]) or not VERSION.match(parts[2]):
        raise Malformed(f"request line {lines[0][:60]!r}")
    message.method, message.target, message.version = parts
    message.fields = fields_of(lines[1:])
    judge_target(message)
    hosts = message.get(b"host")
    if len(hosts) > 1 or (not hosts and message.version == b"HTTP/1.1") or (hosts and not HOST.match(hosts[0])):
        raise Malformed("host")
    options = options_of(message)
    keeps = message.version == b"HTTP/1.1" or b"keep-alive" in options
    message.closes = b"close" in options or not keeps
    return message


def framing_of(message):
    """None, "chunked", or a length."""
    lengths, codings = message.get(b"content-length"), message.get(b"transfer-encoding")
    if codings:
        if lengths or len(codings) > 1 or codings[0].lower() != b"chunked" or message.version != b"HTTP/1.1":
            raise Malformed("transfer-encoding")
        return "chunked"
    if len(lengths) > 1 or (lengths and not re.fullmatch(rb"[0-9]{1,18}", lengths[0])):
        raise Malformed("content-length")
    return int(lengths[0]) if lengths else None


class Reader:
    """feed() bytes; `messages` grows; `error` once something is malformed: nothing is read after that. CONNECT and Upgrade are
    read as by an origin that refuses them: no tunnel begins, the next message follows."""

    def __init__(self):
        self.buffer, self.messages, self.error = bytearray(), [], None
        self.current, self.left, self.state = None, 0, "head"

    def feed(self, data):
        self.buffer += data
        try:
            while self.error is None and getattr(self, "in_" + self.state)():
                pass
        except Malformed as problem:
            self.error = str(problem)

    def is_clean(self):
        """Between messages, nothing begun."""
        return self.error is None and self.state == "head" and not self.buffer

    def in_head(self):
        while self.buffer[:2] == b"\r\n":
            del self.buffer[:2]
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            if re.search(rb"(?<!\r)\n", self.buffer):
                raise Malformed("bare LF")
            if len(self.buffer) > HEAD_MAX:
                raise Malformed("head without end")
            return False
        block = bytes(self.buffer[:end + 4])
        if re.search(rb"(?<!\r)\n", block):
            raise Malformed("bare LF")
        message = read_head(block)
        framing = framing_of(message)
        del self.buffer[:end + 4]
        self.current = message
        self.messages.append(message)
        if framing == "chunked":
            self.state = "chunk"
        elif framing:
            self.left, self.state = framing, "length"
        else:
            self.end()
        return True

    def end(self):
        self.current.complete, self.state = True, "done" if self.current.closes else "head"

    def take(self):
        part = self.buffer[:self.left]
        del self.buffer[:self.left]
        self.left -= len(part)
        self.current.body += part

    def in_length(self):
        self.take()
        if self.left:
            return False
        self.end()
        return True

    def line(self):
        end = self.buffer.find(b"\r\n")
        found = bytes(self.buffer if end < 0 else self.buffer[:end])
        if b"\n" in found or b"\r" in (found[:-1] if end < 0 else found):
            raise Malformed("bare CR or LF in a chunk's line")
        if end < 0:
            if len(found) > 8192:
                raise Malformed("chunk's line without end")
            return None
        del self.buffer[:end + 2]
        return found

    def in_chunk(self):
        line = self.line()
        if line is None:
            return False
        parts = CHUNK_LINE.match(line)
        if not parts:
            raise Malformed(f"chunk size {line[:40]!r}")
        self.left = int(parts[1], 16)
        self.state = "data" if self.left else "trailers"
        return True

    def in_data(self):
        self.take()
        if self.left:
            return False
        if len(self.buffer) < 2 and b"\r\n".startswith(self.buffer):
            return False
        if self.buffer[:2] != b"\r\n":
            raise Malformed("chunk's end")
        del self.buffer[:2]
        self.state = "chunk"
        return True

    def in_trailers(self):
        line = self.line()
        if line is None:
            return False
        if line:
            self.current.trailers += fields_of([line])
        else:
            self.end()
        return True

    def in_done(self):
        return False  # nothing counts behind a message that closes


def read(data):
    reader = Reader()
    reader.feed(data)
    return reader
