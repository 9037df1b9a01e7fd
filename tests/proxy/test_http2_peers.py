"""HTTP/2 with other people's implementations on both sides: curl and h2load (nghttp2), Envoy, HAProxy."""
import re
import subprocess

import pytest

from meshes import free_port, wait_until
from programs import Program
from proxies import Proxy, cluster, http2_upstream, http_manager, listener, talk
from raw_http import Origin

BODY = bytes((n * 7 + n // 256) % 256 for n in range(300_000))  # more than any window at the start


def echo(connection, request):
    return connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\nX-Got: %d\r\n\r\n" % (len(request.body), len(request.body))
                              + request.body) is None


def haproxy(directory, port, to, from_protocol, to_protocol):
    config = directory / f"haproxy-{port}.cfg"
    config.write_text(f"""global
  maxconn 1000
defaults
  mode http
  timeout connect 5s
  timeout client 30s
  timeout server 30s
frontend in
  bind 127.0.0.1:{port} {from_protocol}
  default_backend out
backend out
  server out 127.0.0.1:{to} {to_protocol}
""")
    program = Program(["haproxy", "-db", "-f", config], directory / f"haproxy-{port}.log")
    wait_until(lambda: program.assert_runs() or talk(port, b"") is not None, what="haproxy to listen")
    return program


def envoy(directory, port, to, is_front):
    options = {"typed_extension_protocol_options": http2_upstream()} if is_front else {}
    return Proxy(directory, [listener(port, http_manager(codec_type="AUTO" if is_front else "HTTP2"))], [cluster(to, **options)], envoy=True)


@pytest.fixture(scope="module")
def chains(tmp_path_factory):
    """peer → ours → other peer → origin, HTTP/2 up to the last; by name the port at which each begins."""
    directory = tmp_path_factory.mktemp("peers")
    names = ("curl", "envoy", "haproxy", "to envoy", "to haproxy", "by envoy", "by haproxy")
    ports = {name: free_port() for name in names}
    with Origin({b"/echo": echo}) as origin:
        listeners = [listener(ports[front], http_manager([{"match": {"prefix": "/"}, "route": {"cluster": back}}], codec_type="HTTP2"))
                     for front, back in (("curl", "to haproxy"), ("by envoy", "to haproxy"), ("by haproxy", "to envoy"))]
        clusters = [cluster(ports[name], name, typed_extension_protocol_options=http2_upstream()) for name in ("to envoy", "to haproxy")]
        with envoy(directory, ports["to envoy"], origin.port, False), envoy(directory, ports["envoy"], ports["by envoy"], True), \
                Proxy(directory, listeners, clusters) as proxy:
            programs = [haproxy(directory, ports["to haproxy"], origin.port, "proto h2", ""),
                        haproxy(directory, ports["haproxy"], ports["by haproxy"], "", "proto h2")]
            yield ports, origin
            for program in programs:
                program.close()
            proxy.program.assert_runs()


CHAINS = pytest.mark.parametrize("chain", ["curl", "envoy", "haproxy"])


@CHAINS
def test_bodies_both_ways(chains, chain, tmp_path):
    ports, origin = chains
    origin.forget()
    (tmp_path / "body").write_bytes(BODY)
    url = f"http://127.0.0.1:{ports[chain]}/echo"
    for flags in ((), ("-H", "transfer-encoding: chunked"), ("-H", "expect: 100-continue")):  # with and without content-length
        subprocess.run(["curl", "-sS", "-m", "20", "--http2-prior-knowledge", "--data-binary", f"@{tmp_path / 'body'}", *flags,
                        "-H", "cookie: a=1; b=2", "-H", "x-long: " + "v" * 5000, "-D", tmp_path / "head", "-o", tmp_path / "got", url],
                       check=True, timeout=30)
        assert (tmp_path / "got").read_bytes() == BODY
        assert f"x-got: {len(BODY)}" in (tmp_path / "head").read_text()
    for request in origin.requests:
        assert request.get(b"cookie") == b"a=1; b=2" and request.get(b"x-long") == b"v" * 5000


@CHAINS
def test_many_at_once(chains, chain):
    ports, _ = chains
    result = subprocess.run(["h2load", "-n", "2000", "-c", "4", "-m", "50", "-H", "x-a: b", f"http://127.0.0.1:{ports[chain]}/x"],
                            capture_output=True, text=True, timeout=60)
    assert re.search(r"2000 succeeded, 0 failed, 0 errored", result.stdout), result.stdout
    assert "status codes: 2000 2xx" in result.stdout, result.stdout


def test_small_windows_and_no_table(chains, tmp_path):
    """A peer with windows of 1023 bytes, and no compression table."""
    ports, _ = chains
    (tmp_path / "body").write_bytes(b"x" * 50_000)
    result = subprocess.run(["h2load", "-n", "20", "-c", "2", "-m", "5", "-w", "10", "-W", "10", "--header-table-size=0",
                             "--encoder-header-table-size=0", "-d", tmp_path / "body", f"http://127.0.0.1:{ports['curl']}/echo"],
                            capture_output=True, text=True, timeout=60)
    assert "20 succeeded, 0 failed" in result.stdout and "status codes: 20 2xx" in result.stdout, result.stdout + result.stderr
