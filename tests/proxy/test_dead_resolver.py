"""A resolver that falls silent costs no endpoint: counted, said once, and over when it answers again."""
import socket
import struct
import threading

from meshes import free_port, wait_until
from programs import fetch
from proxies import TYPE, Proxy, RawOrigin, at, cluster, http_manager, listener, read_until


class Resolver:
    """DNS over UDP: every A question is answered with `address`, or not at all while that is None."""

    def __init__(self, address):
        self.address, self.asked = address, 0
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        while True:
            try:
                question, peer = self.socket.recvfrom(2048)
            except OSError:
                return
            self.asked += 1
            if not self.address:
                continue
            end = question.index(b"\0", 12) + 5
            is_a = question[end - 4:end - 2] == b"\0\1"
            answer = b"\xc0\x0c\0\1\0\1" + struct.pack(">IH", 1, 4) + socket.inet_aton(self.address) if is_a else b""
            self.socket.sendto(question[:2] + b"\x81\x80\0\1" + struct.pack(">H", bool(answer)) + b"\0\0\0\0" + question[12:end] + answer, peer)


def origin(address):
    def serve(connection):
        while read_until(connection, b"\r\n\r\n"):
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(address), address.encode()))
    return serve


def by_name(port, resolver, **fields):
    resolvers = {"name": "envoy.network.dns_resolver.cares", "typed_config": {
        "@type": TYPE + "network.dns_resolver.cares.v3.CaresDnsResolverConfig", "resolvers": [at(resolver.port)], "query_timeout_seconds": 1, "query_tries": 1}}
    named = cluster(port, type="STRICT_DNS", dns_lookup_family="V4_ONLY", dns_refresh_rate="0.1s", typed_dns_resolver_config=resolvers, **fields)
    named["load_assignment"]["endpoints"] = [{"lb_endpoints": [{"endpoint": {"address": at(port, "origin.test")}}]}]
    return named


def test_a_silent_resolver_keeps_what_was_known(tmp_path):
    resolver, port = Resolver("127.0.0.1"), free_port()
    with RawOrigin(origin("first")) as first:
        second = socket.create_server(("127.0.0.2", first.port))
        with Proxy(tmp_path, [listener(port, http_manager())], [by_name(first.port, resolver)]) as proxy:
            def answer():
                return fetch(f"http://127.0.0.1:{port}/")

            def counts(what):
                return sum(value for name, value in proxy.stats().items() if what in name and "origin" in name)
            wait_until(lambda: answer() == (200, "first"), what="the first answer")
            assert counts("update_success") > 0 and counts("update_failure") == 0
            resolver.address = None
            before = resolver.asked
            wait_until(lambda: counts("update_failure") >= 3, what="three failures to be counted")
            assert resolver.asked > before
            assert answer() == (200, "first")
            lines = [line for line in proxy.log().splitlines() if "origin.test" in line]
            assert len(lines) == 1 and "stays in use" in lines[0], lines
            resolver.address = "127.0.0.2"

            def serve():
                connection, _ = second.accept()
                with connection:
                    origin("second")(connection)
            threading.Thread(target=serve, daemon=True).start()
            wait_until(lambda: answer() == (200, "second"), what="the new address to be used")
            assert "DNS answers again" in proxy.log()
        second.close()
    resolver.socket.close()


def test_a_resolver_that_never_answers_does_not_hold_up_the_start(tmp_path):
    resolver, port = Resolver(None), free_port()
    with RawOrigin(origin("late")) as late:
        with Proxy(tmp_path, [listener(port, http_manager())], [by_name(late.port, resolver)]) as proxy:
            assert fetch(f"http://127.0.0.1:{port}/")[0] == 503
            resolver.address = "127.0.0.1"
            wait_until(lambda: fetch(f"http://127.0.0.1:{port}/") == (200, "late"), what="the late answer")
            proxy.program.assert_runs()
    resolver.socket.close()
