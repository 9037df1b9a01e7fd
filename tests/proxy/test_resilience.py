"""What a peer sends costs that peer its connection, and nobody else anything: clients, origins, and thousands that vanish.
MELTEMI_RESILIENCE_SEED repeats a run."""
import os
import random
import resource
import socket
import threading
import time

import pytest

import hostile
from bulk import IS_SANITIZED, Memory, self_signed
from meshes import free_port, wait_until
from proxies import Proxy, RawOrigin, cluster, http2_upstream, http_manager, listener, read_until

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
WEBSOCKETS = [{"upgrade_type": "websocket"}]
PLENTY = {"circuit_breakers": {"thresholds": [{"max_connections": 4000, "max_pending_requests": 4000, "max_requests": 4000}]}}


class Origin(RawOrigin):
    """/ok is answered well, /say/NAME as hostile.ANSWERS has it, /hang not at all, /echo becomes a tunnel."""

    def __init__(self):
        self.release = threading.Event()
        self.live, self.lock = set(), threading.Lock()
        super().__init__(self.serve_all)

    def serve_all(self, connection):
        with self.lock:
            self.live.add(connection)
        try:
            while self.serve_one(connection):
                pass
        finally:
            with self.lock:
                self.live.discard(connection)

    def serve_one(self, connection):
        head = read_until(connection, b"\r\n\r\n")
        if not head:
            return False
        target = head.split(b" ")[1].decode()
        if target.startswith("/say/"):
            for part in hostile.ANSWERS[target[5:].replace("_", " ")][0]:
                connection.sendall(part)
            return False
        if target == "/hang":
            self.release.wait(30)
        if target == "/echo":
            connection.sendall(b"HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n")
            while data := connection.recv(65536):
                connection.sendall(data)
            return False
        if target == "/reset":
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nsome")
            hostile.reset(connection)
            return False
        if target == "/early":
            connection.sendall(OK)
            return False
        connection.sendall(OK)
        return b"chunked" not in head and b"content-length" not in head

    def hang_up(self):
        """Ends every connection, as a restart would."""
        self.release.set()
        with self.lock:
            for connection in self.live:
                try:
                    connection.shutdown(socket.SHUT_RDWR)
                except OSError:
                    pass


@pytest.fixture
def bed(tmp_path):
    print(f"MELTEMI_RESILIENCE_SEED={hostile.SEED}")
    with Origin() as origin:
        port = free_port()
        with Proxy(tmp_path, [listener(port, http_manager(upgrade_configs=WEBSOCKETS))], [cluster(origin.port, **PLENTY)]) as proxy:
            proxy.port, proxy.origin, proxy.files = port, origin, open_files(proxy)
            yield proxy
            proxy.program.assert_runs()
            nothing_is_left(proxy)


def ask(port, request):
    """(status, body) of the answer; status "cut" when it is not complete."""
    with socket.create_connection(("127.0.0.1", port), timeout=30) as client:
        client.sendall(request)
        answer = read_until(client, b"\r\n\r\n")
        while answer.startswith(b"HTTP/1.1 1"):
            answer = answer.partition(b"\r\n\r\n")[2]
            answer += b"" if b"\r\n\r\n" in answer else read_until(client, b"\r\n\r\n")
        head, _, body = answer.partition(b"\r\n\r\n")
        if not head:
            return "cut", b""
        status, fields = int(head.split(b" ")[1]), head.lower()
        if status in (204, 304):
            return status, body
        if b"content-length: " in fields:
            size = int(fields.split(b"content-length: ")[1].split(b"\r\n")[0])
            while len(body) < size and (more := client.recv(65536)):
                body += more
            return (status if len(body) == size else "cut"), body
        while not body.endswith(b"0\r\n\r\n") and (more := client.recv(65536)):
            body += more
        return (status if body.endswith(b"0\r\n\r\n") else "cut"), body


def get(path):
    return b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode()


def open_files(proxy):
    return len(os.listdir(f"/proc/{proxy.program.process.pid}/fd"))


def nothing_is_left(proxy):
    """Once the origin has hung up, the proxy holds no more descriptors than before its first connection."""
    def holds():
        proxy.origin.hang_up()  # connections may have come since the last look
        return open_files(proxy) <= proxy.files
    wait_until(holds, what=f"descriptors to come back to {proxy.files}")


def test_bytes_of_clients_cost_only_their_connection(bed):
    rng = random.Random(hostile.SEED)
    with hostile.Bystander(bed.port):
        for data in hostile.GARBAGE + [hostile.mutated(rng) for _ in range(100 if IS_SANITIZED else 400)]:
            hostile.throw(bed.port, data, rng)
            bed.program.assert_runs()


def test_bytes_of_tls_clients_cost_only_their_connection(tmp_path):
    rng, plain, port = random.Random(hostile.SEED), free_port(), free_port()
    with Origin() as origin:
        listeners = [listener(plain, http_manager()), listener(port, http_manager(), transport_socket=self_signed(tmp_path))]
        with Proxy(tmp_path, listeners, [cluster(origin.port)]) as proxy:
            files = open_files(proxy)
            with hostile.Bystander(plain):
                for data in hostile.TLS_GARBAGE + [hostile.mutated(rng, hostile.TLS_GARBAGE) for _ in range(200)]:
                    hostile.throw(port, data, rng)
                    proxy.program.assert_runs()
            wait_until(lambda: open_files(proxy) <= files + 1, what="every connection to be closed")  # one to the origin may stay


def test_bytes_of_origins_cost_only_their_exchange(bed):
    memory = Memory(bed.program.process.pid)
    with hostile.Bystander(bed.port):
        for name, (_, expected) in hostile.ANSWERS.items():
            status, body = ask(bed.port, get("/say/" + name.replace(" ", "_")))
            assert status in expected, f"{name}: {status} {body[:100]!r}"
            assert b"evil" not in body and b"more" not in body, name
            assert ask(bed.port, get("/ok")) == (200, b"ok"), f"behind {name}"
            memory.growth()
        assert ask(bed.port, get("/reset"))[0] == "cut"
    assert IS_SANITIZED or memory.most < 8 << 20, f"{memory.most} bytes for an endless head"


class Http2Origin(RawOrigin):
    """Says `says` in HTTP/2 to whatever comes first on a connection, then hangs up."""

    def __init__(self):
        self.says = b""
        super().__init__(self.serve_http2)

    def serve_http2(self, connection):
        data = b""
        connection.sendall(hostile.frame(4, 0, 0))
        while not has_headers(data):
            more = connection.recv(65536)
            if not more:
                return
            data += more
        connection.sendall(self.says)
        connection.shutdown(socket.SHUT_WR)
        while connection.recv(65536):
            pass


def has_headers(data):
    """Whether HEADERS are among the frames behind the preface."""
    at = len(hostile.PREFACE)
    while at + 9 <= len(data):
        if data[at + 3] == 1:
            return True
        at += 9 + int.from_bytes(data[at:at + 3], "big")
    return False


def test_frames_of_origins_cost_only_their_connection(tmp_path):
    port = free_port()
    routes = [{"match": {"prefix": "/ok"}, "route": {"cluster": "good"}}, {"match": {"prefix": "/"}, "route": {"cluster": "origin"}}]
    with Origin() as good, Http2Origin() as bad:
        clusters = [cluster(good.port, "good"), cluster(bad.port, typed_extension_protocol_options=http2_upstream())]
        with Proxy(tmp_path, [listener(port, http_manager(routes))], clusters) as proxy:
            memory, files = Memory(proxy.program.process.pid), open_files(proxy)
            with hostile.Bystander(port):
                for name, (bad.says, expected) in hostile.HTTP2_ANSWERS.items():
                    status, body = ask(port, get("/x"))
                    assert status in expected, f"{name}: {status} {body[:100]!r}"
                    assert status != 200 or body.replace(b"5\r\nhello\r\n0\r\n\r\n", b"") == b"", f"{name}: {body}"
                    proxy.program.assert_runs()
                    memory.growth()
                    # The bystander's two stay. A connection whose end is still on its way could be taken for the next request.
                    wait_until(lambda: open_files(proxy) <= files + 2, what=f"the connection to be closed behind {name}")  # noqa: B023
            assert IS_SANITIZED or memory.most < 8 << 20, f"{memory.most} bytes"


def test_an_early_answer_ends_an_upload(bed):
    """The answer arrives though the body never ends, and the rest of the body is nobody's request."""
    for framing, body in ((b"Content-Length: 100000000", b"GET /smuggled HTTP/1.1\r\n" * 100), (b"Transfer-Encoding: chunked", b"5\r\nhello\r\n" * 100)):
        status, answer = ask(bed.port, b"POST /early HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n" + body)
        assert (status, answer) == (200, b"ok")
    assert ask(bed.port, get("/ok")) == (200, b"ok")


STAGES = [
    [b"GET /ok HTT"], [b"", b""], [get("/hang")], [get("/ok"), get("/ok")], [get("/echo")[:-2] + b"Upgrade: websocket\r\nConnection: upgrade\r\n\r\n", b"\x81\x05hello"],
    [b"POST /ok HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\n", b"part"], [b"POST /hang HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n", b"5\r\nhel"],
    [hostile.PREFACE + hostile.frame(4, 0, 0), hostile.HEADERS], [get("/say/cut_length")], [b"\x16\x03\x01"]]


def vanish(port, rng, count):
    """`count` connections at once, each gone at a random point in a random way."""
    clients = []
    for _ in range(count):
        client = socket.create_connection(("127.0.0.1", port), timeout=10)
        clients.append((client, list(rng.choice(STAGES))))
    while clients:
        n = rng.randrange(len(clients))
        client, stages = clients[n]
        if stages and rng.random() < 0.8:
            try:
                client.sendall(stages.pop(0))
                continue
            except OSError:
                pass
        clients.pop(n)
        if rng.random() < 0.5:
            hostile.reset(client)
        else:
            client.close()


def test_thousands_vanish_and_nothing_is_left(bed):
    rng = random.Random(hostile.SEED)
    pid, rounds, at_once = bed.program.process.pid, 8, 100 if IS_SANITIZED else 300
    assert ask(bed.port, get("/ok")) == (200, b"ok")
    nothing_is_left(bed)
    after = []
    for _ in range(rounds):
        bed.origin.release.clear()
        with hostile.Bystander(bed.port):
            vanish(bed.port, rng, at_once)
        nothing_is_left(bed)
        after.append(Memory(pid).base)
    assert IS_SANITIZED or min(after[5:]) < max(after[:4]) + (2 << 20), f"grows with every round: {after}"


def processor_seconds(proxy):
    with open(f"/proc/{proxy.program.process.pid}/stat") as file:
        fields = file.read().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


@pytest.mark.skipif(IS_SANITIZED, reason="UBSan's vptr check needs a pipe, and without one takes good objects for bad")
def test_out_of_descriptors(bed):
    """Connections wait while there are no descriptors; said once, counted, and over when there are some again."""
    pid = bed.program.process.pid
    limit = resource.prlimit(pid, resource.RLIMIT_NOFILE)
    resource.prlimit(pid, resource.RLIMIT_NOFILE, (open_files(bed) + 20, limit[1]))
    idle = [socket.create_connection(("127.0.0.1", bed.port), timeout=10) for _ in range(60)]
    try:
        # Descriptors of the limit are all in use, the rest of the clients wait in the kernel's queue.
        wait_until(lambda: open_files(bed) >= bed.files + 15, what="descriptors to run out")
        used = processor_seconds(bed)
        lines = len(bed.log().splitlines())
        time.sleep(1)  # what would spin or flood the log does so now
        assert processor_seconds(bed) - used < 0.3
        assert len(bed.log().splitlines()) - lines <= 1
    finally:
        for client in idle:
            client.close()
    wait_until(lambda: ask(bed.port, get("/ok")) == (200, b"ok"), what="an answer with free descriptors")
    resource.prlimit(pid, resource.RLIMIT_NOFILE, limit)
    assert ask(bed.port, get("/ok")) == (200, b"ok")
