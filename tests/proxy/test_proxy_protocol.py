"""The PROXY protocol, in and out: every header under meltemi-proxy and under Envoy, real senders and receivers."""
import shutil
import socket
import struct
import subprocess

import pytest

from meshes import free_port, wait_until
from proxies import Proxy, RawOrigin, cluster, file_log, http_manager, listener, read_until, refusal, talk, tcp_proxy, typed

MARK = b"\r\n\r\n\0\r\nQUIT\n"
A4 = socket.inet_aton("1.2.3.4") + socket.inet_aton("5.6.7.8") + struct.pack("!HH", 1111, 2222)
A6 = socket.inet_pton(socket.AF_INET6, "fd00::1") + socket.inet_pton(socket.AF_INET6, "fd00::2") + struct.pack("!HH", 1111, 2222)
UNIX = b"/a".ljust(108, b"\0") + b"/b".ljust(108, b"\0")


def v2(command, family, rest, length=None):
    return MARK + bytes([command, family]) + struct.pack("!H", len(rest) if length is None else length) + rest


def tlv(kind, value):
    return bytes([kind]) + struct.pack("!H", len(value)) + value


IN4, IN6, OWN, REFUSED = "1.2.3.4:1111 5.6.7.8:2222", "[fd00::1]:1111 [fd00::2]:2222", "own", "refused"
# header, what becomes of the connection: the addresses it is taken for, "own" = those of the socket, or "refused".
VECTORS = {
    "v1 TCP4": (b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n", IN4),
    "v1 TCP6": (b"PROXY TCP6 fd00::1 fd00::2 1111 2222\r\n", IN6),
    "v1 UNKNOWN": (b"PROXY UNKNOWN\r\n", OWN),
    "v1 UNKNOWN with a rest": (b"PROXY UNKNOWN ff:: 1 2 3\r\n", OWN),
    "v1 port 0": (b"PROXY TCP4 1.2.3.4 5.6.7.8 0 0\r\n", "1.2.3.4:0 5.6.7.8:0"),
    "v1 ends in LF": (b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222\n", REFUSED),
    "v1 short address": (b"PROXY TCP4 1.2.3 5.6.7.8 1111 2222\r\n", REFUSED),
    "v1 octal address": (b"PROXY TCP4 01.2.3.4 5.6.7.8 1111 2222\r\n", REFUSED),
    "v1 family and address differ": (b"PROXY TCP4 fd00::1 5.6.7.8 1111 2222\r\n", REFUSED),
    "v1 families differ": (b"PROXY TCP6 fd00::1 5.6.7.8 1111 2222\r\n", REFUSED),
    "v1 port too large": (b"PROXY TCP4 1.2.3.4 5.6.7.8 65536 2222\r\n", REFUSED),
    "v1 two spaces": (b"PROXY TCP4  1.2.3.4 5.6.7.8 1111 2222\r\n", REFUSED),
    "v1 a word more": (b"PROXY TCP4 1.2.3.4 5.6.7.8 1111 2222 x\r\n", REFUSED),
    "v1 a word less": (b"PROXY TCP4 1.2.3.4 5.6.7.8 1111\r\n", REFUSED),
    "v1 too long": (b"PROXY UNKNOWN " + b"x" * 100 + b"\r\n", REFUSED),
    "v1 never ends": (b"PROXY TCP4 " + b"1" * 200, REFUSED),
    "v1 lower case": (b"proxy TCP4 1.2.3.4 5.6.7.8 1111 2222\r\n", REFUSED),
    "v1 UDP": (b"PROXY UDP4 1.2.3.4 5.6.7.8 1111 2222\r\n", REFUSED),
    "v1 from anywhere": (b"PROXY TCP4 0.0.0.0 5.6.7.8 1 2\r\n", REFUSED),
    "v1 from broadcast": (b"PROXY TCP4 255.255.255.255 5.6.7.8 1 2\r\n", REFUSED),
    "v1 from multicast": (b"PROXY TCP4 224.0.0.1 5.6.7.8 1 2\r\n", REFUSED),
    "v1 from multicast 6": (b"PROXY TCP6 ff02::1 fd00::2 1 2\r\n", REFUSED),
    "none": (b"", REFUSED),
    "v2 TCP4": (v2(0x21, 0x11, A4), IN4),
    "v2 TCP6": (v2(0x21, 0x21, A6), IN6),
    "v2 UDP4": (v2(0x21, 0x12, A4), IN4),
    "v2 LOCAL": (v2(0x20, 0, b""), OWN),
    "v2 LOCAL with addresses": (v2(0x20, 0x11, A4), OWN),
    "v2 LOCAL with broken TLVs": (v2(0x20, 0x11, A4 + b"\x01\xff\xff"), OWN),
    "v2 LOCAL with rubbish": (v2(0x20, 0x11, b"abc"), OWN),
    "v2 TLVs": (v2(0x21, 0x11, A4 + tlv(1, b"h2") + tlv(2, b"host")), IN4),
    "v2 TLV twice": (v2(0x21, 0x11, A4 + tlv(0xe0, b"a") + tlv(0xe0, b"b")), IN4),
    "v2 TLV no UTF-8": (v2(0x21, 0x11, A4 + tlv(0xe0, b"\xff\xfe\x80a")), IN4),
    "v2 as long as can be": (v2(0x21, 0x11, A4 + tlv(0xe0, b"x" * (65535 - 12 - 3))), IN4),
    "v2 TLV longer than the header": (v2(0x21, 0x11, A4 + b"\x01\x00\x10abc"), REFUSED),
    "v2 TLV cut": (v2(0x21, 0x11, A4 + b"\x01\x00"), REFUSED),
    "v2 unknown family": (v2(0x21, 0x91, A4), REFUSED),
    "v2 no transport": (v2(0x21, 0x10, A4), REFUSED),
    "v2 unknown command": (v2(0x22, 0x11, A4), REFUSED),
    "v2 version 1": (v2(0x11, 0x11, A4), REFUSED),
    "v2 short addresses": (v2(0x21, 0x11, A4[:11]), REFUSED),
    "v2 no addresses": (v2(0x21, 0x11, b""), REFUSED),
    "v2 short addresses 6": (v2(0x21, 0x21, A4), REFUSED),
    "v2 from anywhere": (v2(0x21, 0x11, b"\0" * 12), REFUSED),
    "v2 longer than what comes": (v2(0x21, 0x11, A4, 3000), REFUSED),
    "v2 short Unix paths": (v2(0x21, 0x31, A4), REFUSED),
    # The specification (§2.2) wants these two taken with the socket's own addresses, as HAProxy does; Envoy refuses them.
    "v2 AF_UNSPEC": (v2(0x21, 0, A4), OWN),
    "v2 AF_UNIX": (v2(0x21, 0x31, UNIX), OWN),
    # The specification (§2.1) has decimal numbers and plain addresses; Envoy takes these.
    "v1 zone": (b"PROXY TCP6 fe80::1%lo fd00::2 1111 2222\r\n", REFUSED),
    "v1 port signed": (b"PROXY TCP4 1.2.3.4 5.6.7.8 +111 2222\r\n", REFUSED),
    "v1 NUL": (b"PROXY TCP4 1.2.3.4\0 5.6.7.8 1111 2222\r\n", REFUSED),
    "v1 leading zero": (b"PROXY TCP4 1.2.3.4 5.6.7.8 01111 2222\r\n", REFUSED),
}
DIFFERS = {"v2 AF_UNSPEC": REFUSED, "v2 AF_UNIX": REFUSED, "v1 leading zero": IN4, "v1 NUL": IN4,
           "v1 port signed": "1.2.3.4:111 5.6.7.8:2222", "v1 zone": "[fe80::1%1]:1111 [fd00::2]:2222"}  # under Envoy


def proxy_filter(**fields):
    return typed("envoy.filters.listener.proxy_protocol", "filters.listener.proxy_protocol.v3.ProxyProtocol", **fields)


def wrapped(version, inner=None, **config):
    """A cluster's transport that sends a PROXY header ahead."""
    inner = inner or typed("envoy.transport_sockets.raw_buffer", "transport_sockets.raw_buffer.v3.RawBuffer")
    return typed("envoy.transport_sockets.upstream_proxy_protocol", "transport_sockets.proxy_protocol.v3.ProxyProtocolUpstreamTransport",
                 config={"version": version, **config}, transport_socket=inner)


def read_header(connection):
    """(header, what comes with it) of a connection that begins with a PROXY header of either version."""
    data = b""
    while len(data) < 16:
        more = connection.recv(65536)
        if not more:
            return data, b""
        data += more
    if data.startswith(MARK):
        length = 16 + struct.unpack("!H", data[14:16])[0]
    else:
        while b"\r\n" not in data:
            data += connection.recv(65536)
        length = data.index(b"\r\n") + 2
    while len(data) < length:
        more = connection.recv(65536)
        if not more:
            break
        data += more
    return data[:length], data[length:]


def answer(connection, body=b"", rest=b"", more=b""):
    while b"\r\n\r\n" not in rest:
        part = connection.recv(65536)
        if not part:
            return b""
        rest += part
    connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n%s\r\n" % (len(body), more) + body)
    return rest


def forwarded_for(connection):
    request = read_until(connection, b"\r\n\r\n")
    found = [line for line in request.split(b"\r\n") if line.lower().startswith(b"x-forwarded-for: ")]
    answer(connection, found[0].split()[1] if found else b"-", request, b"connection: close\r\n")


REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n"


def body(reply):
    return reply.split(b"\r\n\r\n", 1)[1].decode() if b"\r\n\r\n" in reply else ""


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_every_header(tmp_path, envoy):
    port, log = free_port(), tmp_path / "log"
    manager = http_manager(use_remote_address=True, access_log=[
        file_log(log, "%REQ(:PATH)% %DOWNSTREAM_REMOTE_ADDRESS% %DOWNSTREAM_LOCAL_ADDRESS% %DOWNSTREAM_DIRECT_REMOTE_ADDRESS%")])
    with RawOrigin(forwarded_for) as origin, Proxy(
            tmp_path, [listener(port, manager, listener_filters=[proxy_filter()], listener_filters_timeout="1s")],
            [cluster(origin.port)], envoy=envoy) as proxy:
        got = {}
        for number, (name, (header, _)) in enumerate(VECTORS.items()):
            reply = talk(port, header + REQUEST.replace(b"/ ", b"/%d " % number), end=False)
            got[name] = REFUSED if reply == b"" else body(reply)
        taken = [number for number, name in enumerate(VECTORS) if got[name] != REFUSED]
        wait_until(lambda: log.exists() and log.read_text().count("\n") == len(taken), what="the log")  # Envoy's flush takes its time
        for line in log.read_text().splitlines():
            path, remote, local, direct = line.split()
            name = list(VECTORS)[int(path[1:])]
            assert direct.startswith("127.0.0.1:"), line
            own = remote == direct and local == f"127.0.0.1:{port}"
            if not own:
                assert got[name] == remote.rsplit(":", 1)[0].strip("[]"), (name, line)
            got[name] = OWN if own else f"{remote} {local}"
        wanted = {name: DIFFERS.get(name, wanted) if envoy else wanted for name, (_, wanted) in VECTORS.items()}
        assert got == wanted
        stats = proxy.stats()
        refused = sum(value == REFUSED for value in wanted.values())
        count = {name: stats.get("proxy_proto." + name, 0) for name in
                 ["not_found_disallowed", "versions.v1.found", "versions.v1.error", "versions.v2.found", "versions.v2.error"]}
        assert count["versions.v1.found"] + count["versions.v2.found"] == len(VECTORS) - refused, count
        assert count["versions.v1.error"] > 5 and count["versions.v2.error"] > 5 and count["not_found_disallowed"] == 2, count
        if not envoy:
            assert [stats[f"listener.127.0.0.1_{port}.downstream_pre_cx_timeout"]] == [1]  # longer than what comes


def test_headers_in_pieces(tmp_path):
    """Each byte a segment of its own; the header ends and the request begins within one."""
    port = free_port()
    with RawOrigin(forwarded_for) as origin, Proxy(
            tmp_path, [listener(port, http_manager(use_remote_address=True), listener_filters=[proxy_filter()])], [cluster(origin.port)]):
        for header in (VECTORS["v1 TCP4"][0], VECTORS["v2 TLVs"][0]):
            with socket.create_connection(("127.0.0.1", port)) as client:
                client.settimeout(10)
                client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for byte in header[:-1]:
                    client.sendall(bytes([byte]))
                client.sendall(header[-1:] + REQUEST)
                assert body(read_until(client, b"1.2.3.4")) == "1.2.3.4"


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_optional_headers_and_versions(tmp_path, envoy):
    optional, only_v2, only_v1 = free_port(), free_port(), free_port()
    one, two = VECTORS["v1 TCP4"][0], VECTORS["v2 TCP4"][0]

    def at(port, **settings):
        return listener(port, http_manager(use_remote_address=True), listener_filters=[proxy_filter(**settings)], listener_filters_timeout="1s")
    with RawOrigin(forwarded_for) as origin, Proxy(
            tmp_path, [at(optional, allow_requests_without_proxy_protocol=True), at(only_v2, disallowed_versions=["V1"]),
                       at(only_v1, disallowed_versions=["V2"])], [cluster(origin.port)], envoy=envoy):
        def ask(port, header):
            return body(talk(port, header + REQUEST, end=False))
        assert ask(optional, one) == ask(optional, two) == "1.2.3.4"
        assert ask(optional, b"") not in ("", "1.2.3.4")
        # Begins as a header of version 1 does, and is none.
        assert talk(optional, REQUEST.replace(b"GET", b"PROPFIND"), end=False).startswith(b"HTTP/1.1 ")
        assert ask(optional, VECTORS["v2 TLV cut"][0]) == ""
        assert (ask(only_v2, one), ask(only_v2, two), ask(only_v2, b"")) == ("", "1.2.3.4", "")
        assert (ask(only_v1, one), ask(only_v1, two), ask(only_v1, b"")) == ("1.2.3.4", "", "")


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_headers_sent_over_tcp(tmp_path, envoy):
    """What a header said in front is told on, or what the sockets say; TLVs as both ends let them through."""
    plain, behind, tlvs = free_port(), free_port(), free_port()
    got = []

    def keep(connection):
        header, rest = read_header(connection)
        got.append(header)
        connection.sendall(rest or connection.recv(100))
    passing = {"pass_through_tlvs": {"match_type": "INCLUDE", "tlv_type": [0xe0, 0xe1]}}
    with RawOrigin(keep) as origin, Proxy(
            tmp_path, [listener(plain, tcp_proxy("one")), listener(behind, tcp_proxy("one"), listener_filters=[proxy_filter()]),
                       listener(tlvs, tcp_proxy("two"), listener_filters=[proxy_filter(**passing)])],
            [cluster(origin.port, "one", transport_socket=wrapped("V1")),
             cluster(origin.port, "two", transport_socket=wrapped("V2", added_tlvs=[{"type": 0xe1, "value": "YWRkZWQ="}], pass_through_tlvs={"match_type": "INCLUDE_ALL"}))],
            envoy=envoy):
        with socket.create_connection(("127.0.0.1", plain)) as client:
            own = client.getsockname()[1]
            client.sendall(b"x")
            assert client.recv(1) == b"x"
        assert got.pop() == b"PROXY TCP4 127.0.0.1 127.0.0.1 %d %d\r\n" % (own, plain)
        assert talk(behind, VECTORS["v1 TCP6"][0] + b"x", end=False) == b"x" and got.pop() == VECTORS["v1 TCP6"][0]
        sent = tlv(0xe0, b"a") + tlv(0xe2, b"dropped") + tlv(0xe0, b"b") + tlv(0xe1, b"replaced")
        assert talk(tlvs, v2(0x21, 0x11, A4 + sent) + b"x", end=False) == b"x"
        assert got.pop() == v2(0x21, 0x11, A4 + tlv(0xe1, b"added") + tlv(0xe0, b"a") + tlv(0xe0, b"b"))


def test_tlvs_that_do_not_fit_send_nothing(tmp_path):
    """CVE-2026-47692: never a header whose length says less than what follows."""
    port = free_port()
    with RawOrigin(lambda connection: connection.recv(100)) as origin, Proxy(
            tmp_path, [listener(port, tcp_proxy(), listener_filters=[proxy_filter(pass_through_tlvs={})])],
            [cluster(origin.port, transport_socket=wrapped("V2", added_tlvs=[{"type": 1, "value": "YWRkZWQ="}], pass_through_tlvs={}))]):
        assert talk(port, v2(0x21, 0x11, A4 + tlv(0xe0, b"x" * (65535 - 12 - 3))) + b"x") == b""
        assert talk(port, v2(0x21, 0x11, A4) + b"x") == b"" and len(origin.results) == 1


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_connections_to_http_hosts_serve_one_client_each(tmp_path, envoy):
    port, headers = free_port(), []

    def serve(connection):
        header, rest = read_header(connection)
        headers.append(header)
        number = str(len(headers)).encode()  # of this connection; others come meanwhile
        while answer(connection, number, rest):
            rest = b""
    with RawOrigin(serve) as origin, Proxy(
            tmp_path, [listener(port, http_manager(), listener_filters=[proxy_filter()])],
            [cluster(origin.port, transport_socket=wrapped("V2"))], envoy=envoy):
        def client(last):
            address = A4[:3] + bytes([last]) + A4[4:]
            connection = socket.create_connection(("127.0.0.1", port), timeout=10)
            connection.sendall(v2(0x21, 0x11, address))
            return connection, v2(0x21, 0x11, address)

        def ask(connection):
            connection.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            head = read_until(connection, b"\r\n\r\n")
            return head.split(b"\r\n\r\n")[1] or connection.recv(10)
        (first, first_header), (second, second_header) = client(4), client(5)
        with first, second:
            assert [ask(first), ask(second), ask(first), ask(second)] == [b"1", b"2", b"1", b"2"]
            assert headers == [first_header, second_header]


@pytest.mark.skipif(not shutil.which("haproxy"), reason="no haproxy")
def test_haproxy_on_both_sides(tmp_path):
    """HAProxy sends to us, we send to HAProxy, in both versions; the last in line tells whom it heard of."""
    front, middle, accepting = [free_port() for _ in range(2)], [free_port() for _ in range(2)], free_port()
    with RawOrigin(forwarded_for) as origin:
        config = tmp_path / "haproxy.cfg"
        config.write_text(f"""
defaults
  mode http
  timeout connect 5s
  timeout client 10s
  timeout server 10s
frontend one
  bind 127.0.0.1:{front[0]}
  default_backend via_one
backend via_one
  server s 127.0.0.1:{middle[0]} send-proxy
frontend two
  bind 127.0.0.1:{front[1]}
  default_backend via_two
backend via_two
  server s 127.0.0.1:{middle[1]} send-proxy-v2 proxy-v2-options unique-id,authority
frontend in
  bind 127.0.0.1:{accepting} accept-proxy
  option forwardfor
  default_backend out
backend out
  server s 127.0.0.1:{origin.port}
""")
        listeners = [listener(port, http_manager(routes=[{"match": {"prefix": "/"}, "route": {"cluster": name}}]), listener_filters=[proxy_filter()])
                     for port, name in zip(middle, ("one", "two"))]
        clusters = [cluster(accepting, name, transport_socket=wrapped(version)) for name, version in (("one", "V1"), ("two", "V2"))]
        haproxy = subprocess.Popen(["haproxy", "-db", "-f", config], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            with Proxy(tmp_path, listeners, clusters):
                for port in front:
                    def once(port=port):
                        try:
                            return talk(port, REQUEST, end=False)
                        except ConnectionRefusedError:
                            return b""
                    wait_until(lambda: once().startswith(b"HTTP/1.1 200"), what="haproxy")
                    with socket.create_connection(("127.0.0.1", port), timeout=10, source_address=("127.0.0.9", 0)) as client:
                        client.sendall(REQUEST)
                        assert body(read_until(client, b"127.0.0.9")) == "127.0.0.9"
        finally:
            haproxy.terminate()
            haproxy.wait()


def test_curl_sends_a_header(tmp_path):
    port = free_port()
    with RawOrigin(forwarded_for) as origin, Proxy(
            tmp_path, [listener(port, http_manager(use_remote_address=True), listener_filters=[proxy_filter()])], [cluster(origin.port)]):
        curl = ["curl", "-s", "--max-time", "10", f"http://127.0.0.1:{port}/"]
        assert subprocess.run([*curl, "--haproxy-protocol", "--interface", "127.0.0.5"], capture_output=True).stdout == b"127.0.0.5"
        assert subprocess.run(curl, capture_output=True).returncode != 0


def test_what_cannot_be_done_is_refused(tmp_path):
    port = free_port()

    def incoming(**fields):
        return refusal(tmp_path, [listener(port, tcp_proxy(), listener_filters=[proxy_filter(**fields)])], [cluster(1)])

    def outgoing(**fields):
        return refusal(tmp_path, [], [cluster(1, transport_socket=wrapped("V2", **fields))])
    assert "proxy_protocol.disallowed_versions" in incoming(disallowed_versions=["V1", "V2"])
    assert "proxy_protocol.tlv_location" in incoming(tlv_location="FILTER_STATE")
    assert "proxy_protocol.rules.tlv_type" in incoming(rules=[{"tlv_type": 256, "on_tlv_present": {"key": "k"}}])
    assert "config.added_tlvs" in outgoing(added_tlvs=[{"type": 1, "value": "A" * 87384}])
    assert "TLV type 300" in outgoing(pass_through_tlvs={"match_type": "INCLUDE", "tlv_type": [300]})
