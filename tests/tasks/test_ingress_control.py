"""istio.io: Tasks / Traffic Management / Ingress / Ingress Gateways, on Istio's httpbin."""
import pytest

from meshes import Mesh, wait_until

INGRESS = """
apiVersion: networking.istio.io/v1
kind: Gateway
metadata:
  name: httpbin-gateway
spec:
  selector:
    istio: ingressgateway
  servers:
  - port:
      number: 80
      name: http
      protocol: HTTP
    hosts:
    - "{host}"
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata:
  name: httpbin
spec:
  hosts:
  - "{host}"
  gateways:
  - httpbin-gateway
  http:
  - match:
    - uri:
        prefix: /status
    - uri:
        prefix: /delay
    route:
    - destination:
        port:
          number: 8000
        host: httpbin
"""


@pytest.fixture(scope="module")
def mesh(samples):
    mesh = Mesh("ingress")
    try:
        mesh.up(samples / "httpbin/httpbin.yaml")
        yield mesh
    finally:
        mesh.close()


def test_only_the_routed_paths_of_the_host_enter(mesh):
    mesh.apply_text(INGRESS.format(host="httpbin.example.com"))
    host = {"host": "httpbin.example.com"}
    assert wait_until(lambda: mesh.get("/status/200", headers=host).status == 200, what="httpbin through the gateway")
    assert mesh.get("/headers", headers=host).status == 404
    assert mesh.get("/status/200", headers={"host": "other.example.com"}).status == 404
    assert mesh.get("/status/418", headers=host).status == 418


def test_a_wildcard_host_lets_every_name_in(mesh):
    mesh.apply_text(INGRESS.format(host="*"))
    assert mesh.get("/status/200", headers={"host": "anything.example.org"}).status == 200
    assert mesh.get("/headers").status == 404
