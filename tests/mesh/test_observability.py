"""Metrics, access log and admin of a running mesh."""
import json
import re
import urllib.request

import pytest

from meshes import Mesh, ROOT, wait_until


@pytest.fixture(scope="module")
def mesh():
    mesh = Mesh("observe")
    try:
        mesh.up(ROOT / "samples/httpbin", ROOT / "samples/curl/curl.yaml", ROOT / "samples/tcp-echo/tcp-echo.yaml")
        mesh.exec("curl", "curl", "-s", "http://httpbin:8000/status/418")
        yield mesh
    finally:
        mesh.close()


def address(mesh, prefix):
    return next(w["address"] for w in mesh.status()["workloads"] if w["name"].startswith(prefix))


def page(mesh, prefix, path):
    with urllib.request.urlopen(f"http://{address(mesh, prefix)}:15000{path}", timeout=10) as answer:
        return answer.read().decode()


def labels_of(text, family):
    for line in text.splitlines():
        if line.startswith(family + "{") and 'response_code="418"' in line:
            return dict(re.findall(r'(\w+)="([^"]*)"', line)), float(line.rsplit(" ", 1)[1])
    return None


@pytest.mark.parametrize("workload, reporter", [("curl", "source"), ("httpbin", "destination")])
def test_requests_total_has_istios_labels_on_both_sides(mesh, workload, reporter):
    labels, value = wait_until(lambda: labels_of(page(mesh, workload, "/stats/prometheus"), "istio_requests_total"),
                               what=f"istio_requests_total of {workload}")
    assert value >= 1
    expected = {
        "reporter": reporter, "source_workload": "curl", "source_workload_namespace": "default", "source_app": "curl",
        "source_principal": "spiffe://cluster.local/ns/default/sa/curl", "destination_workload": "httpbin",
        "destination_workload_namespace": "default", "destination_app": "httpbin", "destination_version": "v1",
        "destination_principal": "spiffe://cluster.local/ns/default/sa/httpbin",
        "destination_service": "httpbin.default.svc.cluster.local", "destination_service_name": "httpbin",
        "destination_service_namespace": "default", "request_protocol": "http", "response_code": "418",
        "response_flags": "-", "connection_security_policy": "mutual_tls" if reporter == "destination" else "unknown",
    }
    assert {k: labels.get(k) for k in expected} == expected
    assert "istio_request_duration_milliseconds_bucket" in page(mesh, workload, "/stats/prometheus")


def test_tcp_pair(mesh):
    code = "import socket; s=socket.create_connection(('tcp-echo',9000)); s.sendall(b'x\\n'); print(s.recv(99)); s.close()"
    mesh.exec("curl", "python3", "-c", code)

    def both():
        text = page(mesh, "curl", "/stats/prometheus")
        return "istio_tcp_connections_opened_total{" in text and "istio_tcp_sent_bytes_total{" in text
    wait_until(both, what="istio_tcp_* of curl")


def test_admin_pages(mesh):
    dump = json.loads(page(mesh, "curl", "/config_dump"))
    types = {c["@type"].rsplit(".", 1)[1] for c in dump["configs"]}
    assert {"BootstrapConfigDump", "ClustersConfigDump", "ListenersConfigDump", "RoutesConfigDump", "SecretsConfigDump"} <= types
    assert "PRIVATE KEY" not in json.dumps(dump)
    assert "outbound|8000||httpbin.default.svc.cluster.local::" in page(mesh, "curl", "/clusters")
    assert "virtualInbound" in page(mesh, "curl", "/listeners")
    assert page(mesh, "curl", "/ready").strip() == "LIVE"
    assert json.loads(page(mesh, "curl", "/server_info"))["state"] == "LIVE"
    assert "cluster" in page(mesh, "curl", "/stats")


def test_access_log_has_istios_fields(mesh):
    line = wait_until(lambda: next((l for l in mesh.run("logs", "httpbin", "--proxy").stdout.splitlines() if "/status/418" in l), None),
                      what="an access-log line")
    assert '"GET /status/418 HTTP/1.1" 418' in line
    assert "inbound|8080||" in line and '"httpbin:8000"' in line
