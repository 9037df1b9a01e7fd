"""istio.io: Tasks / Traffic Management / TCP Traffic Shifting."""
import socket

import pytest

from meshes import Mesh, wait_until

GATEWAY_PORT = 31400


@pytest.fixture(scope="module")
def mesh(samples):
    mesh = Mesh("tcp")
    try:
        mesh.up(samples / "tcp-echo/tcp-echo-services.yaml", samples / "curl/curl.yaml", samples / "tcp-echo/tcp-echo-all-v1.yaml")
        yield mesh
    finally:
        mesh.close()


def ask(line=b"hello\n"):
    with socket.create_connection(("127.0.0.1", GATEWAY_PORT), timeout=10) as s:
        s.sendall(line)
        return s.makefile("rb").readline().decode().strip()


def test_all_to_v1_then_a_fifth_to_v2(mesh, samples):
    wait_until(lambda: ask() == "one hello", what="tcp-echo v1 through the gateway")
    assert {ask() for _ in range(20)} == {"one hello"}
    mesh.apply(samples / "tcp-echo/tcp-echo-20-v2.yaml")
    seen = [ask() for _ in range(100)]
    assert set(seen) == {"one hello", "two hello"}
    assert 5 <= seen.count("two hello") <= 42  # binomial(100, ⅕) leaves this range once in a hundred thousand runs


def test_from_inside_a_workload(mesh):
    code = ("import socket; s = socket.create_connection(('tcp-echo', 9000), timeout=10); s.sendall(b'hi\\n');"
            "print(s.makefile().readline().strip())")
    assert mesh.exec("curl", "python3", "-c", code).stdout.strip() in ("one hi", "two hi")
