"""The TCP proxy under meltemi-proxy and under Envoy: how connections end, what the access log says of it, large transfers."""
import hashlib
import random
import socket
import struct
import subprocess
import threading
import time

import pytest

from meshes import free_port, wait_until
from proxies import Proxy, RawOrigin, cluster, file_log, listener, refusal, talk, tcp_proxy

FORMAT = "%RESPONSE_FLAGS% %UPSTREAM_CLUSTER% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_HOST% %PROTOCOL% %RESPONSE_CODE% %ACCESS_LOG_TYPE%"


def echo(connection):
    data = b""
    while more := connection.recv(65536):
        data += more
        connection.sendall(more)
    connection.shutdown(socket.SHUT_WR)
    return data


def reset(connection):
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()


def connect(port):
    return socket.create_connection(("127.0.0.1", port), timeout=10)


def is_reset(connection):
    try:
        while connection.recv(100):
            pass
        return False
    except ConnectionResetError:
        return True


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """A root, and a leaf for both ends."""
    directory = tmp_path_factory.mktemp("certificates")
    curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"]

    def openssl(*words):
        subprocess.run(["openssl", *words], cwd=directory, check=True, capture_output=True)
    openssl("req", "-x509", *curve, "-keyout", "ca.key", "-out", "ca.pem", "-days", "2", "-subj", "/CN=root")
    openssl("req", *curve, "-keyout", "leaf.key", "-out", "leaf.csr", "-subj", "/CN=leaf")
    (directory / "ext").write_text("subjectAltName=URI:spiffe://mesh/ns/a/sa/b,DNS:leaf.test\nbasicConstraints=CA:FALSE\n")
    openssl("x509", "-req", "-in", "leaf.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days", "2", "-extfile", "ext", "-out", "leaf.pem")
    return {"ca": str(directory / "ca.pem"), "cert": str(directory / "leaf.pem"), "key": str(directory / "leaf.key")}


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_ends_and_their_log_lines(tmp_path, envoy):
    """One proxy, a listener for each way to end; the lines are the same under both."""
    log = tmp_path / "log"
    names = ["good", "refused", "retried", "nobody", "nowhere", "full", "idle", "short", "gone", "weighted"]
    ports = {name: free_port() for name in names}
    dead = free_port()

    def chain(name, target, **fields):
        return listener(ports[name], tcp_proxy(target, stat_prefix=name, access_log=[file_log(log, f"{name} {FORMAT}")], **fields), name=name)
    weighted = tcp_proxy(stat_prefix="weighted", access_log=[file_log(log, f"weighted {FORMAT}")],
                         weighted_clusters={"clusters": [{"name": "origin", "weight": 1}, {"name": "other", "weight": 3}]})
    del weighted["typed_config"]["cluster"]
    with RawOrigin(echo) as origin, RawOrigin(lambda c: c.recv(1)) as closes, Proxy(
            tmp_path, [chain("good", "origin"), chain("refused", "dead"), chain("retried", "dead", max_connect_attempts=3), chain("nobody", "empty"),
                       chain("nowhere", "missing"), chain("full", "one"), chain("idle", "origin", idle_timeout="0.3s"),
                       chain("short", "origin", max_downstream_connection_duration="0.3s"), chain("gone", "closes"),
                       listener(ports["weighted"], weighted)],
            [cluster(origin.port), cluster(origin.port, "other"), cluster(dead, "dead"), cluster(closes.port, "closes"),
             {"name": "empty", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": "empty"}},
             cluster(origin.port, "one", circuit_breakers={"thresholds": [{"max_connections": 1}]})],
            envoy=envoy) as proxy:
        assert talk(ports["good"], b"hello") == b"hello"
        for name in ("refused", "retried", "nobody", "nowhere"):
            with connect(ports[name]) as client:
                client.sendall(b"lost")
                is_reset(client)
        with connect(ports["full"]) as first:
            first.sendall(b"x")
            assert first.recv(1) == b"x"
            assert talk(ports["full"], b"y", end=False) == b""
        for name in ("idle", "short"):
            with connect(ports[name]) as client:
                client.sendall(b"x")
                assert client.recv(1) == b"x"
                is_reset(client)
        assert talk(ports["gone"], b"z", end=False) == b""
        for _ in range(40):
            assert talk(ports["weighted"], b"w") == b"w"
        wait_until(lambda: log.exists() and log.read_text().count("\n") == 50, what="the log")
        lines, counts = {}, {"origin": 0, "other": 0}
        for line in log.read_text().splitlines():
            name, *rest = line.replace(f"127.0.0.1:{origin.port}", "ORIGIN").replace(f"127.0.0.1:{dead}", "DEAD").replace(
                f"127.0.0.1:{closes.port}", "CLOSES").split()
            if name == "weighted":
                counts[rest[1]] += 1
            else:
                lines.setdefault(name, []).append(" ".join(rest))
        end = "- 0 TcpConnectionEnd"
        assert {name: sorted(of) for name, of in lines.items()} == {
            "good": [f"- origin 5 5 ORIGIN {end}"],
            "refused": [f"UF,URX dead 0 0 DEAD {end}"],
            "retried": [f"UF,URX dead 0 0 DEAD {end}"],
            "nobody": [f"UH empty 0 0 - {end}"],
            "nowhere": [f"NC - 0 0 - {end}"],
            "full": [f"- one 1 1 ORIGIN {end}", f"UO one 0 0 - {end}"],
            "idle": [f"- origin 1 1 ORIGIN {end}"],
            "short": [f"DT origin 1 1 ORIGIN {end}"],
            "gone": [f"- closes 1 0 CLOSES {end}"]}
        assert 2 < counts["origin"] < 25, counts  # 10 of 40 are expected
        stats = proxy.stats()
        assert [stats[f"tcp.{name}"] for name in ("good.downstream_cx_total", "good.downstream_cx_rx_bytes_total", "good.downstream_cx_tx_bytes_total",
                                                  "nowhere.downstream_cx_no_route", "idle.idle_timeout", "short.max_downstream_connection_duration")] == [1, 5, 5, 1, 1, 1]


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_half_closes_and_resets(tmp_path, envoy):
    port, seen = free_port(), []

    def serve(connection):
        order = connection.recv(1)
        if order == b"c":  # reads to the end, then speaks at length: the client's half is closed long before
            while connection.recv(65536):
                pass
            connection.sendall(b"r" * 300_000)
        elif order == b"s":  # ends its half at once, goes on reading
            connection.shutdown(socket.SHUT_WR)
            seen.append(sum(len(more) for more in iter(lambda: connection.recv(65536), b"")))
        elif order == b"r":
            reset(connection)
        elif order == b"w":
            connection.sendall(b"w")
            seen.append(is_reset(connection))
    with RawOrigin(serve) as origin, Proxy(tmp_path, [listener(port, tcp_proxy())], [cluster(origin.port)], envoy=envoy):
        assert talk(port, b"c" + b"x" * 200_000) == b"r" * 300_000
        with connect(port) as client:
            client.sendall(b"s")
            assert client.recv(1) == b""
            client.sendall(b"y" * 200_000)
            client.shutdown(socket.SHUT_WR)
            wait_until(lambda: seen == [200_000], what="the origin to read all")
        with connect(port) as client:
            client.sendall(b"r")
            assert is_reset(client)
        client = connect(port)
        client.sendall(b"w")
        assert client.recv(1) == b"w"
        reset(client)
        wait_until(lambda: seen == [200_000, True], what="the origin to be reset")


def test_a_slow_reader_holds_the_writer(tmp_path):
    """Bounded buffers both ways: a reader that stops stops the writer, and nothing is lost when it goes on."""
    port, sent = free_port(), []
    gate = threading.Event()

    def serve(connection):
        connection.recv(1)
        connection.settimeout(0.5)
        total = 0
        try:
            while total < 64_000_000:
                total += connection.send(b"z" * 65536)
        except TimeoutError:
            pass
        sent.append(total)
        gate.wait(10)
    with RawOrigin(serve) as origin, Proxy(tmp_path, [listener(port, tcp_proxy())], [cluster(origin.port)]), connect(port) as client:
        client.sendall(b"x")
        wait_until(lambda: sent, what="the writer to be held")
        assert sent[0] < 32_000_000, "only kernel buffers and ours"  # the sockets' own may take several MB
        gate.set()
        total = sum(len(more) for more in iter(lambda: client.recv(1 << 20), b""))
        assert total == sent[0]


def test_nothing_is_read_before_the_upstream_is_there(tmp_path):
    """A host that does not answer: the client is held after what the sockets take, and closed by connect_timeout."""
    port = free_port()
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        held = []
        for _ in range(8):  # fills the queue: further connects go unanswered
            one = socket.socket()
            one.setblocking(False)
            one.connect_ex(listening.getsockname())
            held.append(one)
        silent = cluster(listening.getsockname()[1], connect_timeout="2s")
        with Proxy(tmp_path, [listener(port, tcp_proxy(), per_connection_buffer_limit_bytes=4096)], [silent]) as proxy, connect(port) as client:
            client.setblocking(False)
            total, begin = 0, time.monotonic()
            while time.monotonic() - begin < 1:
                try:
                    total += client.send(b"x" * 65536)
                except BlockingIOError:
                    time.sleep(0.01)
            assert total < 8_000_000
            memory = int(proxy.stats().get("server.memory_allocated", 0))
            assert memory < 100_000_000
            client.settimeout(10)
            is_reset(client)
        for one in held:
            one.close()


@pytest.mark.parametrize("order", ["meltemi-envoy", "envoy-meltemi", "meltemi-meltemi"])
def test_large_transfers_over_mutual_tls(tmp_path, order, certificates):
    """Two proxies with mutual TLS between: 24 MB up and down at once, a half-close at the end, checksums on both sides."""
    near, far = free_port(), free_port()
    chain = {"certificate_chain": {"filename": certificates["cert"]}, "private_key": {"filename": certificates["key"]}}
    trust = {"trusted_ca": {"filename": certificates["ca"]}}

    def tls(kind, **fields):
        return {"name": "tls", "typed_config": {"@type": f"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.{kind}TlsContext", **fields,
                                                "common_tls_context": {"tls_certificates": [chain], "validation_context": trust}}}
    up = random.Random(1).randbytes(24_000_000)
    down = random.Random(2).randbytes(24_000_000)

    def serve(connection):
        sender = threading.Thread(target=lambda: (connection.sendall(down), connection.shutdown(socket.SHUT_WR)))
        sender.start()
        digest = hashlib.sha256()
        while more := connection.recv(1 << 18):
            digest.update(more)
        sender.join()
        return digest.hexdigest()
    first, second = (name == "envoy" for name in order.split("-"))
    with RawOrigin(serve) as origin, \
            Proxy(tmp_path, [listener(near, tcp_proxy())], [cluster(far, transport_socket=tls("Upstream"))], envoy=first), \
            Proxy(tmp_path, [listener(far, tcp_proxy(), transport_socket=tls("Downstream", require_client_certificate=True))], [cluster(origin.port)], envoy=second), \
            connect(near) as client:
        client.settimeout(60)
        sender = threading.Thread(target=lambda: (client.sendall(up), client.shutdown(socket.SHUT_WR)))
        sender.start()
        digest = hashlib.sha256()
        while more := client.recv(1 << 18):
            digest.update(more)
        sender.join()
        assert digest.hexdigest() == hashlib.sha256(down).hexdigest()
        wait_until(lambda: origin.results == [hashlib.sha256(up).hexdigest()], what="the origin")


def test_log_lines_before_the_end(tmp_path):
    port, log = free_port(), tmp_path / "log"
    options = {"flush_access_log_on_connected": True, "access_log_flush_interval": "0.1s"}
    with RawOrigin(echo) as origin, Proxy(
            tmp_path, [listener(port, tcp_proxy(access_log=[file_log(log, "%ACCESS_LOG_TYPE% %BYTES_SENT%")], access_log_options=options))],
            [cluster(origin.port)]), connect(port) as client:
        client.sendall(b"abc")
        assert client.recv(3) == b"abc"
        wait_until(lambda: log.exists() and log.read_text().count("TcpPeriodic 3") >= 2, what="lines in between")
        client.close()
        wait_until(lambda: "TcpConnectionEnd 3" in log.read_text(), what="the last line")
        assert log.read_text().startswith("TcpUpstreamConnected 0\n")


@pytest.mark.parametrize("fields, named", [
    ({"on_demand": {}}, "tcp_proxy.on_demand"),
    ({"backoff_options": {"base_interval": "1s"}}, "tcp_proxy.backoff_options"),
    ({"upstream_connect_mode": "ON_DOWNSTREAM_DATA", "max_early_data_bytes": 1}, "tcp_proxy.upstream_connect_mode"),
    ({"proxy_protocol_tlvs": [{"type": 1, "value": "YQ=="}]}, "tcp_proxy.proxy_protocol_tlvs"),
    ({"hash_policy": [{"filter_state": {"key": "k"}}]}, "tcp_proxy.hash_policy"),
    ({"max_connect_attempts": 0}, "tcp_proxy.max_connect_attempts"),
    ({"max_downstream_connection_duration": "0s"}, "tcp_proxy.max_downstream_connection_duration"),
])
def test_what_cannot_be_done_is_refused(tmp_path, fields, named):
    assert named in refusal(tmp_path, [listener(free_port(), tcp_proxy(**fields))], [cluster(1)])
