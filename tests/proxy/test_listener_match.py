"""Listener filters and filter chains under meltemi-proxy and under Envoy: what the first bytes decide, and how long they may take."""
import socket
import ssl
import threading
import time

import pytest

from meshes import free_port, wait_until
from proxies import Proxy, RawOrigin, cluster, at, file_log, listener, refusal, talk, tcp_proxy, typed

TLS = typed("envoy.filters.listener.tls_inspector", "filters.listener.tls_inspector.v3.TlsInspector")
HTTP = typed("envoy.filters.listener.http_inspector", "filters.listener.http_inspector.v3.HttpInspector")


def says(text):
    """The end of a chain that tells which one it is."""
    return typed("envoy.filters.network.direct_response", "filters.network.direct_response.v3.Config", response={"inline_string": text})


def chain(name, **match):
    return {"name": name, "filters": [says(name)], "filter_chain_match": match}


def bound(port, *chains, default=None, **fields):
    last = {"default_filter_chain": {"name": default, "filters": [says(default)]}} if default else {}
    return {"name": f"in-{port}", "address": at(port), "filter_chains": list(chains), **last, **fields}


def client_hello(name=None, alpn=(), filler=0):
    """A real ClientHello with its record, by Python's own TLS; `filler` bytes of ALPN make it long."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    protocols = [*alpn, *(f"{n:03}" + "x" * 200 for n in range(filler // 204))]
    if protocols:
        context.set_alpn_protocols(protocols)
    out = ssl.MemoryBIO()
    connection = context.wrap_bio(ssl.MemoryBIO(), out, server_hostname=name)
    with pytest.raises(ssl.SSLWantReadError):
        connection.do_handshake()
    return out.read()


def grease(hello):
    """The hello with a GREASE cipher suite (RFC 8701) in front of the others."""
    at_suites = 5 + 4 + 2 + 32
    at_suites += 1 + hello[at_suites]
    suites = int.from_bytes(hello[at_suites:at_suites + 2], "big")
    body = hello[5 + 4:at_suites] + (suites + 2).to_bytes(2, "big") + b"\x1a\x1a" + hello[at_suites + 2:]
    message = b"\x01" + len(body).to_bytes(3, "big") + body
    return hello[:3] + len(message).to_bytes(2, "big") + message


def in_records(hello, size):
    """The same handshake message in many records."""
    message = hello[5:]
    return b"".join(hello[:3] + len(message[n:n + size]).to_bytes(2, "big") + message[n:n + size] for n in range(0, len(message), size))


def ask(port, data, piece=None, address="127.0.0.1", source=None):
    """What the listener says to these bytes, sent in pieces with a pause of the kernel's between."""
    with socket.create_connection((address, port), timeout=10, source_address=(source, 0) if source else None) as client:
        client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        try:
            for n in range(0, len(data), piece or len(data) or 1):
                client.sendall(data[n:n + (piece or len(data))])
            answer = b""
            while more := client.recv(4096):
                answer += more
        except ConnectionError:
            return "closed"
        return answer.decode() or "closed"


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_which_chain_takes_what(tmp_path, envoy):
    names, order, http, plain, any_address = (free_port() for _ in range(5))
    listeners = [
        bound(names,
              chain("exact", server_names=["a.example.com"]), chain("star", server_names=["*.example.com"]),
              chain("deep", server_names=["*.b.example.com"]), chain("h2", server_names=["alpn.test"], application_protocols=["h2"]),
              chain("other alpn", server_names=["alpn.test"]), chain("tls", transport_protocol="tls"),
              default="default", listener_filters=[TLS]),
        # Levels are gone through in order, without a way back: the port's chain asks for a source that 127.0.0.1 is not.
        bound(order,
              chain("port", destination_port=order, source_prefix_ranges=[{"address_prefix": "127.0.0.2", "prefix_len": 32}]),
              chain("narrow", prefix_ranges=[{"address_prefix": "127.0.0.0", "prefix_len": 8}]),
              default="default"),
        bound(http, chain("h1", application_protocols=["http/1.1", "http/1.0"]), chain("h2c", application_protocols=["h2c"]),
              default="raw", listener_filters=[HTTP]),
        bound(plain, chain("local", source_type="SAME_IP_OR_LOOPBACK", source_prefix_ranges=[{"address_prefix": "127.0.0.3", "prefix_len": 32}]),
              chain("raw", transport_protocol="raw_buffer"), chain("two", direct_source_prefix_ranges=[{"address_prefix": "127.0.0.4", "prefix_len": 31}])),
        {**bound(any_address, chain("wide", prefix_ranges=[{"address_prefix": "127.0.0.0", "prefix_len": 8}]),
                 chain("one", prefix_ranges=[{"address_prefix": "127.0.0.7", "prefix_len": 32}])), "address": at(any_address, "0.0.0.0")},
    ]
    hello = client_hello("a.example.com")
    cases = [
        (names, hello, {}, "exact"), (names, hello, {"piece": 1}, "exact"), (names, grease(hello), {"piece": 7}, "exact"),
        (names, in_records(hello, 40), {}, "exact"),
        (names, client_hello("A.EXAMPLE.com"), {}, "exact"), (names, client_hello("b.example.com"), {}, "star"),
        (names, client_hello("x.b.example.com"), {}, "deep"), (names, client_hello("x.y.b.example.com"), {}, "deep"),
        (names, client_hello("example.com"), {}, "tls"), (names, client_hello(None), {}, "tls"),
        (names, client_hello("alpn.test", ["http/1.1", "h2"]), {}, "h2"), (names, client_hello("alpn.test", ["spdy"]), {}, "other alpn"),
        (names, client_hello("a.example.com", filler=3000), {"piece": 500}, "exact"), (names, client_hello("a.example.com", filler=12000), {}, "exact"),
        (names, b"\x16\x03\x01\x40\x00\x01\x01\x00\x00" + b"\0" * 70_000, {}, "closed"), (names, b"hello", {}, "default"),
        (order, b"", {"source": "127.0.0.2"}, "port"), (order, b"", {}, "default"),
        (http, b"GET / HTTP/1.1\r\n", {"piece": 1}, "h1"), (http, b"OPTIONS * HTTP/1.0\r\n", {}, "h1"), (http, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", {"piece": 5}, "h2c"),
        (http, b"\x00\x01\x02", {}, "raw"), (http, b"USER me\r\n", {}, "raw"), (http, b"GET / SPDY/3\r\n", {}, "raw"),
        (plain, b"", {}, "raw"), (plain, b"", {"source": "127.0.0.3"}, "raw"), (plain, b"", {"source": "127.0.0.5"}, "raw"),
        (any_address, b"", {"address": "127.0.0.7"}, "one"), (any_address, b"", {"address": "127.0.0.8"}, "wide"),
    ]
    with Proxy(tmp_path, listeners, [], envoy=envoy):
        assert [(n, ask(port, data, **how)) for n, (port, data, how, _) in enumerate(cases)] == [(n, wanted) for n, (*_, wanted) in enumerate(cases)]


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_no_chain_closes_counts_and_logs(tmp_path, envoy):
    port, log = free_port(), tmp_path / "log"
    with Proxy(tmp_path, [bound(port, chain("a", destination_port=1), access_log=[file_log(log, "%RESPONSE_FLAGS% %CONNECTION_TERMINATION_DETAILS% %DOWNSTREAM_LOCAL_PORT%")])],
               [], envoy=envoy) as proxy:
        assert ask(port, b"") == "closed"
        assert proxy.stats()[f"listener.127.0.0.1_{port}.no_filter_chain_match"] == 1
        wait_until(lambda: log.exists() and log.read_text(), what="the log")
        flags, _, local = log.read_text().split()
        assert (flags, local) == ("NR", str(port))


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_listener_logs_tell_of_every_connection(tmp_path, envoy):
    port, log = free_port(), tmp_path / "log"
    with RawOrigin(lambda c: c.sendall(c.recv(10))) as origin, Proxy(
            tmp_path, [listener(port, tcp_proxy(), access_log=[file_log(log, "%RESPONSE_FLAGS% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_CLUSTER%")])],
            [cluster(origin.port)], envoy=envoy):
        assert talk(port, b"abc") == b"abc"
        wait_until(lambda: log.exists() and log.read_text() == "- 3 3 origin\n", what="the log")


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_a_server_that_speaks_first(tmp_path, envoy):
    """It waits for listener_filters_timeout where an inspector listens, and not at all where it is switched off."""
    waits, free, strict, silent = (free_port() for _ in range(4))

    def at_port(port, timeout="0.5s", goes_on=True, inspectors=(TLS, HTTP), cluster_name="origin"):
        return listener(port, tcp_proxy(cluster_name), listener_filters=list(inspectors), listener_filters_timeout=timeout,
                        continue_on_listener_filters_timeout=goes_on)
    off = [{**one, "filter_disabled": {"destination_port_range": {"start": free, "end": free + 1}}} for one in (TLS, HTTP)]
    with RawOrigin(lambda c: (c.sendall(b"220 hello\r\n"), c.recv(10))) as origin, Proxy(
            tmp_path, [at_port(waits), at_port(free, inspectors=off, timeout="30s"), at_port(strict, goes_on=False), at_port(silent, timeout="0s")],
            [cluster(origin.port)], envoy=envoy) as proxy:
        def greeting(port, timeout=10):
            begin = time.monotonic()
            with socket.create_connection(("127.0.0.1", port), timeout=timeout) as client:
                try:
                    text = client.recv(100)
                except TimeoutError:
                    text = None
            return text, time.monotonic() - begin
        text, delay = greeting(waits)
        assert text == b"220 hello\r\n" and delay >= 0.45
        assert greeting(free)[0] == b"220 hello\r\n"  # in far less than 30 s, or the socket's timeout ends the test
        text, delay = greeting(strict)
        assert text == b"" and delay >= 0.45
        assert greeting(silent, timeout=1)[0] is None  # zero: for ever
        assert proxy.stats()[f"listener.127.0.0.1_{waits}.downstream_pre_cx_timeout"] == 1


def test_many_slow_hellos_cost_little_and_end(tmp_path):
    port = free_port()
    with Proxy(tmp_path, [bound(port, chain("a"), listener_filters=[TLS], listener_filters_timeout="1s")], []) as proxy:
        hello = client_hello("a")[:100]
        clients = [socket.create_connection(("127.0.0.1", port)) for _ in range(300)]
        for client in clients:
            client.sendall(hello)
        for client in clients:
            client.settimeout(10)
            try:
                assert client.recv(1) == b""
            except ConnectionResetError:
                pass
            client.close()
        assert proxy.stats()[f"listener.127.0.0.1_{port}.downstream_pre_cx_timeout"] == 300


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_sockets_and_hand_off(tmp_path, envoy):
    """Several addresses, one socket for all workers, options, and a listener that is reached by hand-off alone."""
    one, two, redirect, hidden = (free_port() for _ in range(4))
    listeners = [
        bound(one, default="one", additional_addresses=[{"address": at(two, "127.0.0.2")}], enable_reuse_port=False, tcp_backlog_size=16,
              socket_options=[{"level": socket.SOL_SOCKET, "name": socket.SO_KEEPALIVE, "int_value": 1}], max_connections_to_accept_per_socket_event=1),
        # A PROXY header stands for the redirect, which needs rights a test has not.
        bound(redirect, default="own", use_original_dst=True, listener_filters=[
            typed("envoy.filters.listener.proxy_protocol", "filters.listener.proxy_protocol.v3.ProxyProtocol")]),
        {**bound(hidden, default="handed over"), "address": at(hidden, "0.0.0.0"), "bind_to_port": False},
    ]
    with Proxy(tmp_path, listeners, [], concurrency=2, envoy=envoy):
        assert {ask(one, b"") for _ in range(8)} == {"one"} and ask(two, b"", address="127.0.0.2") == "one"
        assert ask(redirect, b"PROXY TCP4 1.2.3.4 5.6.7.8 9 %d\r\n" % hidden) == "handed over"
        assert ask(redirect, b"PROXY TCP4 1.2.3.4 5.6.7.8 9 7\r\n") == "own"
        with pytest.raises(ConnectionRefusedError):
            ask(hidden, b"")


@pytest.mark.parametrize("fields, named", [
    ({"transparent": True}, "transparent"), ({"enable_mptcp": True}, "enable_mptcp"), ({"udp_listener_config": {}}, "udp_listener_config"),
    ({"socket_options": [{"level": 9999, "name": 1, "int_value": 1}]}, "socket option 9999/1"),
    ({"socket_options": [{"level": 1, "name": 1, "int_value": 1, "type": {"datagram": {}}}]}, "socket_options.type"),
    ({"listener_filters": [{"name": "envoy.filters.listener.original_src"}]}, "original_src"),
    ({"max_connections_to_accept_per_socket_event": 0}, "max_connections_to_accept_per_socket_event"),
    ({"access_log": [{"name": "x", "typed_config": {"@type": "type.googleapis.com/google.protobuf.Struct", "value": {}}}]}, "access_log"),
])
def test_what_cannot_be_done_is_refused(tmp_path, fields, named):
    assert named in refusal(tmp_path, [bound(free_port(), chain("a"), **fields)], [])
