"""Envoy's statistics of connections and requests: the same names with the same values after the same requests, under both programs."""
import re
import socket
import time

import pytest

from meshes import free_port, wait_until
from proxies import Proxy, RawOrigin, cluster, http2_upstream, http_manager, listener, read_until, tcp_proxy
from raw_http2 import Http2

# What is compared; what is not counted by us is named below.
COMPARED = re.compile(r"^(cluster\.\w+\.(upstream_(cx|rq)|membership|circuit_breakers\.default)|http\.in\.|listener\.127)")
NOT_COUNTED = re.compile(r"""
    \.(external|internal|retry)\.                     # answers by where the request came from, or of tries that were repeated
  | _with_active_rq$ | \.http\.in\. | \.worker_\d+\.  # finer cuts of what is counted
  | downstream_cx_destroy_(local|remote)$ | ^cluster\.tcp\.upstream_cx_destroy_(local|remote)$ | delayed_close_timeout$
  | _bytes_ | _length_ms | backoff | membership_excluded$ | cx_pool_open$""", re.VERBOSE)


def serve(connection):
    while data := read_until(connection, b"\r\n\r\n"):
        path = data.split()[1]
        if path.startswith(b"/slow"):
            time.sleep(0.5)
        if path.startswith(b"/die"):
            return
        code = int(path[1:4]) if path[1:4].isdigit() else 200
        connection.sendall(b"HTTP/1.1 %d X\r\ncontent-length: 2\r\n\r\nok" % code)


def to(name, prefix, **route):
    return {"match": {"prefix": prefix}, "route": {"cluster": name, **route}}


ROUTES = [
    to("dead", "/dead"), to("nobody", "/nobody"), to("full", "/full"), to("two", "/h2"), to("none", "/unknown", timeout="1s"),
    to("origin", "/slow", timeout="0.1s"),
    to("retried", "/503", retry_policy={"retry_on": "5xx", "num_retries": 2}),
    to("retried", "/die", retry_policy={"retry_on": "5xx", "num_retries": 1}),
    {"match": {"prefix": "/direct"}, "direct_response": {"status": 200}},
    {"match": {"prefix": "/redirect"}, "redirect": {"path_redirect": "/"}},
    {"match": {"prefix": "/", "headers": [{"name": "x-nowhere", "present_match": True, "invert_match": True}]}, "route": {"cluster": "origin"}},
]
REQUESTS = ["/200", "/201", "/404", "/500", "/dead", "/nobody", "/unknown", "/direct", "/redirect", "/slow", "/503", "/die", "/full"]


class Counted:
    def __init__(self, directory, envoy):
        self.port, self.tcp, dead = free_port(), free_port(), free_port()
        self.origin = RawOrigin(serve)
        limits = {"thresholds": [{"max_pending_requests": 0, "max_connections": 1}]}
        self.proxy = Proxy(
            directory, [listener(self.port, http_manager(ROUTES, route_config={
                "validate_clusters": False, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": ROUTES}]})),
                        listener(self.tcp, tcp_proxy("tcp"))],
            [cluster(self.origin.port), cluster(dead, "dead"), cluster(self.origin.port, "retried"), cluster(self.origin.port, "tcp"),
             cluster(self.origin.port, "full", circuit_breakers=limits), cluster(self.origin.port, "two", typed_extension_protocol_options=http2_upstream()),
             {"name": "nobody", "type": "STATIC", "connect_timeout": "1s"}], envoy=envoy)

    def ask(self, path):
        with socket.create_connection(("127.0.0.1", self.port), timeout=10) as client:
            client.sendall(f"GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n".encode())
            return read_until(client, b"nothing ends so")

    def counted(self):
        """Without zeros, which we do not print for what never happened."""
        return {name.replace(str(self.port), "P").replace(str(self.tcp), "T"): value for name, value in self.proxy.stats().items()
                if COMPARED.match(name) and not NOT_COUNTED.search(name) and value}

    def close(self):
        self.proxy.close()
        self.origin.close()


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    directory = tmp_path_factory.mktemp("stats")
    sides = [Counted(directory, envoy) for envoy in (False, True)]
    yield sides
    for side in sides:
        side.close()


def assert_equal(both, what):
    def difference():
        ours, theirs = (side.counted() for side in both)
        return [f"{name}: ours {ours.get(name, 0)}, Envoy {theirs.get(name, 0)}" for name in sorted(ours.keys() | theirs.keys())
                if ours.get(name, 0) != theirs.get(name, 0)]
    try:
        wait_until(lambda: not difference(), timeout=5, what="")
    except AssertionError:
        raise AssertionError(f"after {what}:\n" + "\n".join(difference())) from None


def test_at_the_start(both):
    assert_equal(both, "the start")


@pytest.mark.parametrize("path", REQUESTS)
def test_a_request(both, path):
    for side in both:
        side.ask(path)
    assert_equal(both, path)


def test_open_connections(both):
    """Gauges while two requests are under way, and after their connections have gone."""
    clients = []
    for side in both:
        one = Http2(side.port)
        assert one.get(1) == (200, b"ok")
        two = socket.create_connection(("127.0.0.1", side.port), timeout=10)
        three = socket.create_connection(("127.0.0.1", side.tcp), timeout=10)
        for client in (two, three):
            client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
            read_until(client, b"ok")
        clients += [one, two, three]
    assert_equal(both, "opening")
    ours = both[0].counted()
    assert ours["http.in.downstream_cx_active"] == 2 and ours["listener.127.0.0.1_P.downstream_cx_active"] == 2
    for client in clients:
        client.close()
    assert_equal(both, "closing")
    assert "http.in.downstream_cx_active" not in both[0].counted()


def test_prometheus_has_envoys_names_and_labels(both):
    def series(side):
        lines = side.proxy.admin("/stats/prometheus")[1].splitlines()
        return {line.split(" ")[0] for line in lines if re.match(r"envoy_(cluster_upstream_(cx_total|rq)|http_downstream_(cx_total|rq_xx)|listener_downstream_cx_total)\{", line)}

    def labels(text):
        name, _, rest = text.partition("{")
        return name, frozenset(re.findall(r'(\w+)="([^"]*)"', rest))
    ours, theirs = ({labels(line.replace(str(side.port), "P").replace(str(side.tcp), "T")) for line in series(side)} for side in both)
    assert ours and ours <= theirs, ours - theirs
