"""Limits on connections, and a process that runs out of descriptors."""
import pathlib
import resource
import socket
import time

import pytest

from bulk import IS_SANITIZED
from meshes import free_port, wait_until
from proxies import Proxy, RawOrigin, cluster, file_log, http_manager, listener, refusal, talk, tcp_proxy, typed


def connection_limit(most, **fields):
    return typed("envoy.filters.network.connection_limit", "filters.network.connection_limit.v3.ConnectionLimit", stat_prefix="l", max_connections=most, **fields)


def echo(connection):
    while more := connection.recv(65536):
        connection.sendall(more)


def connect(port, header=b""):
    client = socket.create_connection(("127.0.0.1", port), timeout=10)
    client.sendall(header + b"x")
    return client


def is_open(client):
    try:
        return client.recv(1) == b"x"
    except ConnectionResetError:
        return False


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_connection_limit_filter(tmp_path, envoy):
    port, slow = free_port(), free_port()
    with RawOrigin(echo) as origin, Proxy(
            tmp_path, [listener(port, connection_limit(2), tcp_proxy()), listener(slow, connection_limit(1, delay="0.5s"), tcp_proxy())],
            [cluster(origin.port)], concurrency=2, envoy=envoy) as proxy:
        first, second = connect(port), connect(port)
        assert is_open(first) and is_open(second)
        for _ in range(3):
            with connect(port) as third:
                assert not is_open(third)
        first.close()
        wait_until(lambda: is_open(connect(port)), what="room for another")
        assert proxy.stats()["connection_limit.l.limited_connections"] >= 3
        with connect(slow) as only:
            assert is_open(only)
            begin = time.monotonic()
            with connect(slow) as late:
                assert not is_open(late)
            assert time.monotonic() - begin >= 0.45
        second.close()


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_limit_of_the_process(tmp_path, envoy):
    port, free = free_port(), free_port()
    monitor = {"name": "envoy.resource_monitors.global_downstream_max_connections", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
        "max_active_downstream_connections": 2}}
    with RawOrigin(echo) as origin, Proxy(
            tmp_path, [listener(port, tcp_proxy()), listener(free, tcp_proxy(), ignore_global_conn_limit=True)], [cluster(origin.port)],
            envoy=envoy, overload_manager={"resource_monitors": [monitor]}) as proxy:
        with connect(port) as first, connect(port) as second:
            assert is_open(first) and is_open(second)
            with connect(port) as third, connect(free) as fourth:
                assert not is_open(third) and is_open(fourth)
            assert proxy.stats()[f"listener.127.0.0.1_{port}.downstream_global_cx_overflow"] == 1
        wait_until(lambda: is_open(connect(port)), what="room for another")


RBAC_FORMAT = "%CONNECTION_TERMINATION_DETAILS% %RESPONSE_FLAGS%"


def rbac(action, **policies):
    return typed("envoy.filters.network.rbac", "filters.network.rbac.v3.RBAC", stat_prefix="tcp.",
                 rules={"action": action, "policies": policies})


def policy(permission=None, principal=None):
    return {"permissions": [permission or {"any": True}], "principals": [principal or {"any": True}]}


def cidr(address, length):
    return {"address_prefix": address, "prefix_len": length}


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_access_rules(tmp_path, envoy):
    """Each listener has one rule set; clients come from 127.0.0.1 and, by a PROXY header, from 1.2.3.4."""
    proxy_header = typed("envoy.filters.listener.proxy_protocol", "filters.listener.proxy_protocol.v3.ProxyProtocol", allow_requests_without_proxy_protocol=True)
    log = tmp_path / "log"
    cases = {  # rules, what becomes of 127.0.0.1, of 1.2.3.4
        "allow any": (rbac("ALLOW", p=policy()), True, True),
        "allow nobody": (rbac("ALLOW"), False, False),
        "deny any": (rbac("DENY", p=policy()), False, False),
        "deny nobody": (rbac("DENY"), True, True),
        "allow remote": (rbac("ALLOW", p=policy(principal={"remote_ip": cidr("127.0.0.0", 8)})), True, False),
        "allow source": (rbac("ALLOW", p=policy(principal={"source_ip": cidr("1.2.3.0", 24)})), False, True),
        "deny direct": (rbac("DENY", p=policy(principal={"direct_remote_ip": cidr("127.0.0.1", 32)})), False, False),
        "not": (rbac("ALLOW", p=policy(principal={"not_id": {"remote_ip": cidr("127.0.0.1", 32)}})), False, True),
        "and or": (rbac("ALLOW", p=policy({"and_rules": {"rules": [{"any": True}, {"or_rules": {"rules": [{"destination_port": 2222}, {"destination_port": 1}]}}]}})), False, True),
        "range": (rbac("DENY", p=policy({"destination_port_range": {"start": 2222, "end": 2223}})), True, False),
        "range ends before": (rbac("DENY", p=policy({"destination_port_range": {"start": 2000, "end": 2222}})), True, True),
        "destination": (rbac("ALLOW", p=policy({"destination_ip": cidr("5.6.7.8", 32)})), False, True),
        "no name": (rbac("ALLOW", p=policy({"requested_server_name": {"exact": "a"}})), False, False),
        "no certificate": (rbac("ALLOW", p=policy(principal={"authenticated": {}})), False, False),
        "log": (rbac("LOG", p=policy()), True, True),
        "second policy": (rbac("DENY", a=policy({"destination_port": 1}), b=policy({"destination_port": 2222})), True, False),
    }
    ports = {name: free_port() for name in cases}
    with RawOrigin(echo) as origin, Proxy(
            tmp_path, [listener(ports[name], rules, tcp_proxy(access_log=[file_log(log, RBAC_FORMAT)]), listener_filters=[proxy_header])
                       for name, (rules, *_) in cases.items()], [cluster(origin.port)], envoy=envoy) as proxy:
        def ask(port, header=b""):
            with connect(port, header) as client:
                return is_open(client)
        got = {name: (ask(port), ask(port, b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n")) for name, port in ports.items()}
        assert got == {name: (own, told) for name, (_, own, told) in cases.items()}
        wait_until(lambda: log.exists() and log.read_text().count("\n") == 2 * len(cases), what="the log")
        lines = log.read_text().splitlines()
        refused = sum((not own) + (not told) for _, own, told in cases.values())
        assert sorted(set(lines)) == ["- -", *(f"rbac_access_denied_matched_policy[{name}] -" for name in ("b", "none", "p"))]
        assert len(lines) - lines.count("- -") == refused
        stats = proxy.stats()
        assert (stats["tcp.rbac.denied"], stats["tcp.rbac.allowed"]) == (refused, 2 * len(cases) - refused)


def test_rules_that_cannot_be_judged_are_refused(tmp_path):
    for named, rules in {
            "permissions: rule": rbac("DENY", p=policy({"header": {"name": "a", "present_match": True}})),
            "principals: identifier": rbac("DENY", p=policy(principal={"metadata": {"filter": "x", "path": [{"key": "a"}], "value": {"present_match": True}}})),
            "filter_state": rbac("DENY", p=policy(principal={"filter_state": {"key": "x", "string_match": {"exact": "a"}}}))}.items():
        assert named in refusal(tmp_path, [listener(free_port(), rules, tcp_proxy())], [cluster(1)])


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_the_server_name_names_the_cluster(tmp_path, envoy):
    from test_listener_match import TLS, client_hello
    port = free_port()
    sni_cluster = typed("envoy.filters.network.sni_cluster", "filters.network.sni_cluster.v3.SniCluster")
    with RawOrigin(lambda c: (c.recv(65536), c.sendall(b"one"))) as one, RawOrigin(lambda c: (c.recv(65536), c.sendall(b"two"))) as two, Proxy(
            tmp_path, [listener(port, sni_cluster, tcp_proxy("one.test"), listener_filters=[TLS])],
            [cluster(one.port, "one.test"), cluster(two.port, "two.test")], envoy=envoy):
        def ask(name):
            try:
                with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
                    client.sendall(client_hello(name))
                    return client.recv(10)
            except ConnectionResetError:
                return b""
        assert [ask("two.test"), ask("one.test"), ask(None), ask("three.test")] == [b"two", b"one", b"one", b""]


@pytest.mark.skipif(IS_SANITIZED, reason="UBSan looks at memory through a pipe, for which there is no descriptor then")
def test_out_of_descriptors(tmp_path):
    """A full table: accepts wait instead of spinning, upstream connects fail with 503, and all is well once there is room."""
    tcp, http = free_port(), free_port()

    def serve(connection):
        connection.recv(65536)
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok")
    with RawOrigin(echo) as origin, RawOrigin(serve) as web, Proxy(
            tmp_path, [listener(tcp, tcp_proxy("echo")), listener(http, http_manager())], [cluster(origin.port, "echo"), cluster(web.port)]) as proxy:
        request = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"
        assert b" 200 " in talk(http, request, end=False)
        pid = proxy.program.process.pid
        wait_until(lambda: proxy.admin("/ready")[0] == 200, what="the proxy")
        used = len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))
        soft, hard = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + 21, hard))
        clients = [socket.create_connection(("127.0.0.1", tcp), timeout=10) for _ in range(40)]  # in the kernel's queue, most of them

        def ticks():
            return sum(map(int, pathlib.Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[11:13]))
        begin = ticks()
        time.sleep(1)
        assert ticks() - begin < 30, "a busy loop"  # of 100 in a second
        assert proxy.log().count("out of descriptors") == 1
        for client in clients:
            client.close()
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        wait_until(lambda: talk(tcp, b"x") == b"x" and b" 200 " in talk(http, request, end=False), what="the proxy to recover")
        assert proxy.stats()[f"listener.127.0.0.1_{tcp}.accept_out_of_descriptors"] > 0
        # Room for the client's connection and none for the host's.
        used = len(list(pathlib.Path(f"/proc/{pid}/fd").iterdir()))
        for room in range(8, -24, -1):
            resource.prlimit(pid, resource.RLIMIT_NOFILE, (used + room, hard))
            answer = talk(http, request, end=False)
            if b" 200 " not in answer:
                break
        resource.prlimit(pid, resource.RLIMIT_NOFILE, (soft, hard))
        assert answer.startswith(b"HTTP/1.1 503 "), answer
        wait_until(lambda: b" 200 " in talk(http, request, end=False), what="the proxy to recover")
