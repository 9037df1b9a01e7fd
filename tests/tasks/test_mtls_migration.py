"""istio.io: Tasks / Security / Authentication / Mutual TLS Migration: PERMISSIVE lets plain text in, STRICT does not."""
import pytest

from meshes import Mesh, wait_until

STRICT = """
apiVersion: security.istio.io/v1
kind: PeerAuthentication
metadata:
  name: default
  namespace: {namespace}
spec:
  mtls:
    mode: STRICT
"""


@pytest.fixture(scope="module")
def mesh(samples):
    mesh = Mesh("migration")
    try:
        mesh.up(samples / "httpbin/httpbin.yaml", samples / "curl/curl.yaml")
        yield mesh
    finally:
        mesh.close()


def from_mesh(mesh):
    out = mesh.exec("curl", "curl", "-s", "-m", "10", "-o", "/dev/null", "-w", "%{http_code}", "http://httpbin:8000/ip", check=False)
    return out.stdout.strip()


def in_plain_text(mesh):
    """A request from outside the mesh straight to the workload's address, as a legacy client sends it."""
    address = next(w["address"] for w in mesh.status()["workloads"] if w["name"].startswith("httpbin"))
    try:
        return str(mesh.get("/ip", host=address, port=8080, timeout=10).status)
    except OSError:
        return "refused"


@pytest.mark.parametrize("namespace", ["default", "istio-system"])
def test_strict_locks_out_plain_text_only(mesh, namespace):
    wait_until(lambda: from_mesh(mesh) == "200" and in_plain_text(mesh) == "200", what="both kinds of client, PERMISSIVE")
    mesh.apply_text(STRICT.format(namespace=namespace))
    wait_until(lambda: in_plain_text(mesh) == "refused", what="plain text to be refused")
    assert from_mesh(mesh) == "200"
    mesh.delete_text(STRICT.format(namespace=namespace))
    wait_until(lambda: in_plain_text(mesh) == "200", what="plain text to be let in again")


def test_the_app_sees_the_callers_identity(mesh):
    out = mesh.exec("curl", "curl", "-s", "http://httpbin:8000/headers").stdout
    assert "spiffe://cluster.local/ns/default/sa/curl" in out
