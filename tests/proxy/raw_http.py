"""HTTP/1 by hand on both sides of a proxy: an origin that records what arrives byte by byte and answers with any bytes, a
client that sends any bytes and reads answers strictly."""
import socket
import threading

from proxies import Closing, RawOrigin


class Incomplete(Exception):
    """The peer ended in the middle of a message."""


class Message:
    """A message as it stood on the wire."""

    def __init__(self, first, fields, body, trailers, raw_head):
        self.first, self.fields, self.body, self.trailers, self.raw_head = first, fields, body, trailers, raw_head

    @property
    def status(self):
        return int(self.first.split(b" ")[1])

    @property
    def target(self):
        return self.first.split(b" ")[1]

    def get(self, name):
        """All values of a field, joined; None when it is not there."""
        values = [value for key, value in self.fields if key.lower() == name.lower()]
        return b", ".join(values) if values else None

    def __repr__(self):
        return f"{self.first!r} {self.fields} {self.body[:60]!r} {self.trailers}"


class Wire:
    """Reads messages from a socket."""

    def __init__(self, connection, on_head=lambda: None):
        self.connection, self.data, self.on_head = connection, b"", on_head

    def more(self):
        data = self.connection.recv(65536)
        if not data:
            raise Incomplete(self.data)
        self.data += data

    def take(self, count):
        while len(self.data) < count:
            self.more()
        taken, self.data = self.data[:count], self.data[count:]
        return taken

    def line(self):
        while b"\r\n" not in self.data:
            self.more()
        line, _, self.data = self.data.partition(b"\r\n")
        return line

    def fields(self):
        fields = []
        while line := self.line():
            name, colon, value = line.partition(b":")
            assert colon and name == name.strip(), line
            fields.append((name, value.strip(b" \t")))
        return fields

    def message(self, is_bodiless=lambda first: False):
        """The next message; None at an orderly end before it."""
        try:
            while not self.data:
                self.more()
        except (Incomplete, ConnectionResetError):
            return None
        while b"\r\n\r\n" not in self.data:
            self.more()
        raw_head = self.data[:self.data.index(b"\r\n\r\n") + 4]
        self.on_head()
        first = self.line()
        message = Message(first, self.fields(), b"", [], raw_head)
        length, coding = message.get(b"content-length"), message.get(b"transfer-encoding")
        if is_bodiless(first):
            pass
        elif coding is not None:
            assert coding.lower() == b"chunked" and length is None, message
            while size := int(self.line(), 16):
                message.body += self.take(size)
                assert self.take(2) == b"\r\n"
            message.trailers = self.fields()
        elif length is not None:
            message.body = self.take(int(length))
        elif first.startswith(b"HTTP/"):  # until the end
            while True:
                try:
                    self.more()
                except Incomplete:
                    message.body, self.data = self.data, b""
                    break
        return message

    def at_end(self):
        """Whether the peer has ended, with nothing left to read."""
        try:
            while True:
                self.more()
        except (Incomplete, ConnectionResetError):
            return not self.data
        except TimeoutError:
            return False


class Origin(RawOrigin):
    """Answers each request with `replies[target]` (bytes, or a function of the connection and the request that returns
    whether to go on), else with 200. Records requests, and how many heads and incomplete requests there were."""

    OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"

    def __init__(self, replies=None):
        self.replies, self.requests, self.begun, self.broken = replies or {}, [], 0, 0
        self.lock = threading.Lock()
        super().__init__(self.serve_requests)

    def count_begun(self):
        with self.lock:
            self.begun += 1

    def serve_requests(self, connection):
        wire = Wire(connection, self.count_begun)
        while True:
            try:
                request = wire.message()
            except (Incomplete, ConnectionResetError):
                with self.lock:
                    self.broken += 1
                return
            if request is None:
                return
            request.rest, request.connection = wire.data, connection
            with self.lock:
                self.requests.append(request)
            reply = self.replies.get(request.target, self.OK)
            if callable(reply):
                if not reply(connection, request):
                    return
            else:
                connection.sendall(reply)

    def seen(self, target):
        with self.lock:
            return [request for request in self.requests if request.target == target]

    def forget(self):
        with self.lock:
            self.requests, self.broken, self.begun = [], 0, 0


class Client(Closing):
    """A connection to a proxy."""

    def __init__(self, port, timeout=10):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)
        self.wire = Wire(self.socket)

    def send(self, data):
        try:
            self.socket.sendall(data)
        except (BrokenPipeError, ConnectionResetError):
            pass  # it may have answered and closed already

    def answer(self, method=b"GET"):
        """The next answer, 1xx included; None when there is none."""
        def is_bodiless(first):
            status = int(first.split(b" ")[1])
            return method == b"HEAD" or status < 200 or status in (204, 304) or (method == b"CONNECT" and status < 300)
        return self.wire.message(is_bodiless)

    def at_end(self):
        return self.wire.at_end()

    def close(self):
        self.socket.close()
