"""The same HTTP connection managers under meltemi-proxy and under a stock Envoy: one listener per set of options, raw requests,
and for each what the client got, what the origin received and what the access log says."""
import base64
import json
import re
import socket
import time
from dataclasses import dataclass, field

from meshes import free_port
from proxies import Closing, Proxy, RawOrigin, cluster, http_manager, listener, typed

LOG_FORMAT = "%REQ(X-CASE)%|%RESPONSE_CODE%|%RESPONSE_FLAGS%|%RESPONSE_CODE_DETAILS%\n"


def read_head(connection, data=b""):
    """(head up to the empty line, what came behind it); an empty head when the connection ended before."""
    while b"\r\n\r\n" not in data:
        more = connection.recv(65536)
        if not more:
            return b"", data
        data += more
    head, rest = data.split(b"\r\n\r\n", 1)
    return head, rest


def parse_head(head):
    lines = head.decode("latin-1").split("\r\n")
    fields = [line.partition(":") for line in lines[1:]]
    return lines[0], [(name.lower(), value.strip()) for name, _, value in fields]


def read_body(connection, fields, rest, until_close=False):
    """The body by its framing, and what came behind it."""
    named = dict(fields)
    if named.get("transfer-encoding") == "chunked":
        body = b""
        while True:
            while b"\r\n" not in rest:
                more = connection.recv(65536)
                if not more:
                    return body, b""
                rest += more
            size, rest = rest.split(b"\r\n", 1)
            size = int(size.split(b";")[0], 16)
            while len(rest) < size + 2:
                more = connection.recv(65536)
                if not more:
                    return body + rest, b""
                rest += more
            body, rest = body + rest[:size], rest[size + 2:]
            if size == 0:
                return body, rest
    if until_close and "content-length" not in named:
        while more := connection.recv(65536):
            rest += more
        return rest, b""
    length = int(named.get("content-length", 0))
    while len(rest) < length:
        more = connection.recv(65536)
        if not more:
            break
        rest += more
    return rest[:length], rest[length:]


def script(*steps):
    """A request header that tells the origin what to do: bytes are sent, "stall" waits for the proxy to go, "close" closes, a
    number of seconds waits, "body" reads the request's body first, (bytes,) reads on until they were received."""
    def code(data):
        return base64.b64encode(data).decode()
    coded = ",".join(code(step) if isinstance(step, bytes) else f"!until:{code(step[0])}" if isinstance(step, tuple) else f"!{step}" for step in steps)
    return f"x-script: {coded}\r\n"


def serve(connection, arrived):
    """Answers each request with a description of it, or does what its x-script says. `arrived` gets each head's fields."""
    rest = b""
    while True:
        head, rest = read_head(connection, rest)
        if not head:
            return
        line, fields = parse_head(head)
        arrived.append(dict(fields))
        steps = dict(fields).get("x-script")
        if steps is None:
            body, rest = read_body(connection, fields, rest)
            text = json.dumps({"line": line, "fields": fields, "body": body.decode("latin-1")}).encode()
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(text), b"" if line.startswith("HEAD ") else text))
            continue
        for step in steps.split(","):
            if step == "!stall":
                while connection.recv(65536):
                    pass
                return
            elif step == "!close":
                return
            elif step == "!body":
                _, rest = read_body(connection, fields, rest)
            elif step.startswith("!until:"):
                while base64.b64decode(step[7:]) not in rest:
                    rest += connection.recv(65536)
            elif step.startswith("!"):
                time.sleep(float(step[1:]))
            else:
                connection.sendall(base64.b64decode(step))


@dataclass
class Outcome:
    """What one request led to. `origin` is None when it did not get there."""
    status: int = 0
    fields: list = field(default_factory=list)
    body: str = ""
    origin: dict = None
    log: str = ""
    ended: bool = False  # the proxy closed the connection

    def get(self, name):
        values = [value for key, value in self.fields if key == name]
        return values[0] if values else None

    def received(self, name):
        return [value for key, value in (self.origin or {"fields": []})["fields"] if key == name]


VARIABLE = [(re.compile(r"\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"), "UUID"),
            # Why a connection could not be made is worded otherwise by us.
            (re.compile("connection_refused_or_host_unreachable|delayed_connect_error:_Connection_refused"), "REASON"),
            (re.compile(r"[A-Z][a-z]{2}, \d\d [A-Z][a-z]{2} \d{4} \d\d:\d\d:\d\d GMT"), "DATE")]


class Side:
    """One of the two programs."""

    def __init__(self, directory, managers, clusters, envoy, listeners, extra):
        names, ports = [*managers, *listeners], set()
        while len(ports) < len(names):  # a port that is free may be named twice
            ports.add(free_port())
        self.ports = dict(zip(names, ports))
        name = "envoy" if envoy else "meltemi"
        self.log_file = directory / f"{name}.access"
        log = typed("file", "access_loggers.file.v3.FileAccessLog", path=str(self.log_file),
                    log_format={"text_format_source": {"inline_string": LOG_FORMAT}})
        built = [listener(self.ports[key], http_manager(**{"access_log": [log], **fields}), name=key) for key, fields in managers.items()]
        built += [make(self.ports[key], log) for key, make in listeners.items()]
        built, clusters = json.loads(json.dumps([built, clusters]))  # no object twice: that would become a YAML alias
        self.proxy = Proxy(directory, built, clusters, envoy=envoy, **extra)
        self.name, self.cases = name, 0

    def connect(self, name, timeout=10):
        # Envoy takes 127.0.0.1 itself, but not the rest of 127/8, for "this machine" and writes another of its addresses into x-forwarded-for.
        return socket.create_connection(("127.0.0.1", self.ports[name]), timeout=timeout, source_address=("127.0.0.2", 0))

    def log_lines(self, start):
        lines = self.log_file.read_text().splitlines() if self.log_file.exists() else []
        return [line.partition("|")[2] for line in lines if line.startswith(start)]

    def logged(self, case, nameless):
        """The access log's line of a case, without its id; waits for it. A request refused before its head was complete has no id: then
        it is the line after `nameless` others without one."""
        deadline = time.monotonic() + 15
        while time.monotonic() < deadline:
            if found := self.log_lines(f"{case}|") or self.log_lines("-|")[nameless:]:
                return "; ".join(found)
            time.sleep(0.005)
        raise AssertionError(f"{self.name} did not log {case}")

    def ask(self, name, raw, logs=False, until_close=False, wrap=None):
        """Sends raw bytes, in which "x-case: ?" gets a number, and reads one answer."""
        self.cases += 1
        raw = raw if isinstance(raw, bytes) else raw.encode("latin-1")
        raw = raw.replace(b"x-case: ?", b"x-case: %d" % self.cases)
        outcome = Outcome()
        nameless = len(self.log_lines("-|")) if logs else 0
        with self.connect(name) as connection:
            if wrap:
                connection = wrap(connection)
            try:
                connection.sendall(raw)
                rest, head = b"", b"HTTP/1.1 100"
                while head.startswith(b"HTTP/1.1 1") and not head.startswith(b"HTTP/1.1 101"):
                    head, rest = read_head(connection, rest)
                if head:
                    line, outcome.fields = parse_head(head)
                    outcome.status = int(line.split()[1])
                    no_body = raw.startswith(b"HEAD ") or outcome.status in (101, 204, 304)
                    body, rest = (b"", rest) if no_body else read_body(connection, outcome.fields, rest, until_close)
                    outcome.body = body.decode("latin-1")
                    if outcome.status == 200 and outcome.body.startswith('{"line"'):
                        outcome.origin = json.loads(outcome.body)
                else:
                    outcome.ended = True
            except ConnectionResetError:
                outcome.ended = True
        if logs:
            outcome.log = self.logged(self.cases, nameless)
        return outcome

    def normal(self, outcome):
        """The parts two programs must agree on, with ports, ids and dates replaced by words."""
        def text(value):
            for key, port in self.ports.items():
                value = re.sub(rf"\b{port}\b", f"<{key}>", value)
            for pattern, word in VARIABLE:
                value = pattern.sub(word, value)
            return value

        def fields(pairs):
            ignored = ("content-length", "transfer-encoding", "x-case", "x-script", "x-envoy-upstream-service-time")
            joined = {}  # Envoy joins the values of some names where we keep the fields: the same (RFC 9110 §5.3)
            for name, value in pairs:
                if name not in ignored:
                    joined.setdefault(name, []).extend(part.strip() for part in text(value).split(","))
            return sorted(f"{name}: {','.join(values)}" for name, values in joined.items())
        origin = outcome.origin and [text(outcome.origin["line"]), *fields(outcome.origin["fields"]), outcome.origin["body"]]
        return {"status": outcome.status, "fields": fields(outcome.fields), "body": None if origin else text(outcome.body),
                "origin": origin, "log": text(outcome.log), "ended": outcome.ended}


class Pair(Closing):
    """`managers`: options of HttpConnectionManager by listener name. `clusters`: more than `origin`, as a function of the origin's port.
    `listeners`: more listeners, as functions of (port, log)."""

    def __init__(self, directory, managers, clusters=lambda port: [], listeners=None, origin_cluster=None, **extra):
        self.arrived = []  # the fields of each request that came to the origin
        self.origin = RawOrigin(lambda connection: serve(connection, self.arrived))
        clusters = [cluster(self.origin.port, **(origin_cluster or {})), *clusters(self.origin.port)]
        self.sides = []
        try:
            for envoy in (False, True):
                self.sides.append(Side(directory, managers, clusters, envoy, listeners or {}, extra))
        except BaseException:
            self.close()
            raise
        self.ours, self.theirs = self.sides

    def both(self, name, raw, **options):
        return [side.ask(name, raw, **options) for side in self.sides]

    def assert_same(self, name, raw, only=("status", "fields", "body", "origin", "log", "ended"), **options):
        """Asks both and compares; returns ours for more checks."""
        outcomes = self.both(name, raw, **options)
        ours, theirs = (side.normal(outcome) for side, outcome in zip(self.sides, outcomes))
        if ours["fields"] == ["connection: close"] and ours["status"] == theirs["status"] >= 400:
            only = set(only) - {"fields", "body"}  # our codec's own refusals have neither
        differing = [f"{key}:\n  ours   {ours[key]}\n  Envoy  {theirs[key]}" for key in only if ours[key] != theirs[key]]
        assert not differing, f"{name} {raw!r}\n" + "\n".join(differing)
        return outcomes[0]

    def close(self):
        for side in self.sides:
            side.proxy.close()
        self.origin.close()
