"""meltemi-proxy on its own, from an Envoy bootstrap: YAML and JSON, admin, validation, drain, ends."""
import http.server
import json
import signal
import socket
import subprocess
import threading

import pytest
import yaml

from meshes import BIN, free_port, wait_until
from programs import Program, fetch

PROXY = BIN / "meltemi-proxy"


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    arrived, gate = threading.Event(), threading.Event()  # of a slow request: it came, it may be answered

    def do_GET(self):
        if self.path == "/slow":
            Origin.arrived.set()
            Origin.gate.wait(20)
        body = f"{self.path} from {self.headers['host']}".encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@pytest.fixture(scope="module")
def origin():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server.server_address[1]
    server.shutdown()


def bootstrap(port, admin, origin):
    def at(number):
        return {"socket_address": {"address": "127.0.0.1", "port_value": number}}

    manager = {"@type": "type.googleapis.com/envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
               "stat_prefix": "ingress",
               "route_config": {"name": "local", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
                   {"match": {"prefix": "/away"}, "redirect": {"path_redirect": "/here"}},
                   {"match": {"prefix": "/"}, "route": {"cluster": "origin"}}]}]},
               "http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
                   "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router"}}]}
    return {"admin": {"address": at(admin)},
            "static_resources": {
                "listeners": [{"name": "in", "address": at(port), "filter_chains": [{"filters": [
                    {"name": "envoy.filters.network.http_connection_manager", "typed_config": manager}]}]}],
                "clusters": [{"name": "origin", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {
                    "cluster_name": "origin", "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at(origin)}}]}]}}]}}


class Proxy(Program):
    def __init__(self, tmp_path, origin, text=json.dumps, suffix="json", flags=()):
        self.port, self.admin = free_port(), free_port()
        config = tmp_path / f"bootstrap.{suffix}"
        config.write_text(text(bootstrap(self.port, self.admin, origin)))
        super().__init__([PROXY, "-c", config, *flags], tmp_path / "proxy.log")
        wait_until(lambda: self.assert_runs() is None and fetch(self.url("/ready", self.admin))[0] == 200, what="the proxy to be ready")

    def url(self, path, port=None):
        return f"http://127.0.0.1:{port or self.port}{path}"


@pytest.mark.parametrize("text, suffix", [(json.dumps, "json"), (yaml.safe_dump, "yaml")])
@pytest.mark.parametrize("workers", [1, 3])
def test_serves_from_json_and_yaml(tmp_path, origin, text, suffix, workers):
    proxy = Proxy(tmp_path, origin, text, suffix, ["--concurrency", workers])
    try:
        for n in range(10):
            assert fetch(proxy.url(f"/{n}")) == (200, f"/{n} from 127.0.0.1:{proxy.port}")
        assert "in::127.0.0.1" in fetch(proxy.url("/listeners", proxy.admin))[1]
        assert "origin::" in fetch(proxy.url("/clusters", proxy.admin))[1]
        assert json.loads(fetch(proxy.url("/server_info", proxy.admin))[1])["state"] == "LIVE"
    finally:
        proxy.close()
    assert proxy.process.returncode == 0, proxy.text()


def test_sigterm_lets_a_request_finish(tmp_path, origin):
    Origin.arrived.clear()
    Origin.gate.clear()
    proxy = Proxy(tmp_path, origin, flags=["--drain-time-s", "15"])
    try:
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            client.settimeout(15)
            client.sendall(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
            assert Origin.arrived.wait(15)
            proxy.process.send_signal(signal.SIGTERM)
            wait_until(lambda: fetch(proxy.url("/ready", proxy.admin))[0] == 503, what="the proxy to drain")
            Origin.gate.set()
            answer = b""
            while more := client.recv(4096):  # head and body may come apart; the connection ends behind them
                answer += more
            assert answer.startswith(b"HTTP/1.1 200") and b"/slow from a" in answer, answer
            assert proxy.process.wait(15) == 0
    finally:
        Origin.gate.set()
        proxy.close()


def test_a_second_signal_ends_at_once(tmp_path, origin):
    Origin.arrived.clear()
    Origin.gate.clear()
    proxy = Proxy(tmp_path, origin, flags=["--drain-time-s", "600"])
    try:
        with socket.create_connection(("127.0.0.1", proxy.port)) as client:
            client.sendall(b"GET /slow HTTP/1.1\r\nhost: a\r\n\r\n")
            assert Origin.arrived.wait(15)
            proxy.process.send_signal(signal.SIGTERM)
            wait_until(lambda: fetch(proxy.url("/ready", proxy.admin))[0] == 503, what="the proxy to drain")
            proxy.process.send_signal(signal.SIGTERM)
            proxy.process.wait(10)
    finally:
        Origin.gate.set()
        proxy.close()


def run(*words):
    return subprocess.run([PROXY, *words], capture_output=True, text=True, timeout=20)


def test_validation_and_bad_bootstraps(tmp_path, origin):
    good = tmp_path / "good.yaml"
    good.write_text(yaml.safe_dump(bootstrap(free_port(), free_port(), origin)))
    assert run("-c", good, "--mode", "validate").returncode == 0
    config = bootstrap(free_port(), free_port(), origin)
    config["static_resources"]["listeners"][0]["filter_chains"][0]["filters"][0]["typed_config"]["@type"] = "type.googleapis.com/a.b.Unheard"
    unknown = tmp_path / "unknown.yaml"
    unknown.write_text(yaml.safe_dump(config))
    broken = tmp_path / "broken.yaml"
    broken.write_text("admin: {address\n")
    dynamic = tmp_path / "dynamic.yaml"
    dynamic.write_text(yaml.safe_dump(bootstrap(free_port(), free_port(), origin) | {"dynamic_resources": {"lds_config": {"ads": {}}}}))
    for words, expected in [(("-c", dynamic), "dynamic_resources"), (("-c", unknown), "a.b.Unheard"), (("-c", broken), "broken.yaml"), (("-c", tmp_path / "none.yaml"), "none.yaml"), ((), "-c")]:
        result = run(*words)
        assert result.returncode == 1 and expected in result.stderr + result.stdout, (words, result)


def test_a_port_in_use_says_so(tmp_path, origin):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        config = tmp_path / "taken.json"
        config.write_text(json.dumps(bootstrap(port, free_port(), origin)))
        result = run("-c", config)
        assert result.returncode == 1 and str(port) in result.stderr + result.stdout, result
