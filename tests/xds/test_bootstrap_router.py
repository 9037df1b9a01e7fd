"""A gateway of the mesh that starts from an Envoy bootstrap, as a stock Envoy and as meltemi-proxy: it accepts everything it is
sent and serves Bookinfo over mutual TLS."""
import json

import pytest

import sds
from meshes import BIN, Mesh, ROOT, free_port, stars, wait_until
from programs import ENVOY, Api, Program, fetch

GATEWAY = """
apiVersion: v1
kind: ServiceAccount
metadata: {{name: envoy-gateway, namespace: default}}
---
apiVersion: networking.istio.io/v1
kind: Gateway
metadata: {{name: by-envoy, namespace: default}}
spec:
  selector: {{app: envoy-gateway}}
  servers:
  - port: {{number: {port}, name: http, protocol: HTTP}}
    hosts: ["*"]
---
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: by-envoy, namespace: default}}
spec:
  hosts: ["*"]
  gateways: [by-envoy]
  http:
  - match:
    - uri: {{exact: /productpage}}
    - uri: {{prefix: /static}}
    route:
    - destination: {{host: productpage, port: {{number: 9080}}}}
  - match:
    - uri: {{prefix: /gone}}
    redirect: {{uri: /productpage}}
"""


def bootstrap(discovery, secrets, admin, token, root):
    def at(port):
        return {"endpoints": [{"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": port}}}}]}]}

    http2 = {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": "type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}
    tls = {"name": "envoy.transport_sockets.tls", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext", "sni": "istiod.istio-system.svc",
        "common_tls_context": {"alpn_protocols": ["h2"], "validation_context": {"trusted_ca": {"filename": str(root)}}}}}
    ads = {"ads": {}, "resource_api_version": "V3"}
    return {
        "node": {"id": "router~127.0.0.1~envoy-gateway-1.default~default.svc.cluster.local", "cluster": "envoy-gateway.default",
                 "metadata": {"NAME": "envoy-gateway-1", "NAMESPACE": "default", "LABELS": {"app": "envoy-gateway"},
                              "SERVICE_ACCOUNT": "envoy-gateway", "CLUSTER_ID": "Kubernetes", "ISTIO_VERSION": "1.32.0"}},
        "admin": {"address": {"socket_address": {"address": "127.0.0.1", "port_value": admin}}},
        "dynamic_resources": {"lds_config": ads, "cds_config": ads, "ads_config": {
            "api_type": "DELTA_GRPC", "transport_api_version": "V3", "set_node_on_first_message_only": True,
            "grpc_services": [{"envoy_grpc": {"cluster_name": "xds-grpc"},
                               "initial_metadata": [{"key": "authorization", "value": f"Bearer {token}"}]}]}},
        "static_resources": {"clusters": [
            {"name": "xds-grpc", "type": "STATIC", "connect_timeout": "5s", "typed_extension_protocol_options": http2, "transport_socket": tls,
             "load_assignment": {"cluster_name": "xds-grpc", **at(discovery)}},
            {"name": "sds-grpc", "type": "STATIC", "connect_timeout": "5s", "typed_extension_protocol_options": http2,
             "load_assignment": {"cluster_name": "sds-grpc", **at(secrets)}}]},
    }


class Gateway:
    """The mesh, and a proxy (`program`, with flags) that serves it at `port`."""

    def __init__(self, mesh, directory, program):
        self.mesh, self.port, self.admin = mesh, free_port(), free_port()
        mesh.apply_text(GATEWAY.format(port=self.port))
        plane = mesh.status()["controlPlane"]
        root, = mesh.home.rglob("meltemid/root-cert.pem")
        status, answer = Api(plane["api"].removeprefix("unix:")).call(
            "POST", "/api/v1/namespaces/default/serviceaccounts/envoy-gateway/token",
            {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest", "spec": {"audiences": ["istio-ca"], "expirationSeconds": 3600}})
        assert status == 201, answer
        token = answer["status"]["token"]
        discovery = int(plane["discovery"].rsplit(":", 1)[1])
        self.secrets = sds.SecretServer(sds.Identity(discovery, token, root, directory))
        config = directory / "bootstrap.json"
        config.write_text(json.dumps(bootstrap(discovery, self.secrets.port, self.admin, token, root)))
        self.proxy = Program([*program, "-c", config, "--concurrency", "1"], directory / "proxy.log")

    def stats(self):
        self.proxy.assert_runs()
        text = fetch(f"http://127.0.0.1:{self.admin}/stats?usedonly")[1]
        return {name: int(value) for name, _, value in (line.partition(": ") for line in text.splitlines()) if value.isdigit()}

    def close(self):
        self.proxy.close()
        self.secrets.close()


PROGRAMS = {"envoy": [ENVOY, "--use-dynamic-base-id", "-l", "warning"], "meltemi": [BIN / "meltemi-proxy"]}


@pytest.fixture(scope="module", params=PROGRAMS)
def gateway(tmp_path_factory, request):
    program = PROGRAMS[request.param]
    if not program[0].exists():
        pytest.fail(f"{program[0]} is missing: run tools/deps.sh")
    mesh = Mesh(request.param)
    gateway = None
    try:
        mesh.up(ROOT / "samples/bookinfo")
        gateway = Gateway(mesh, tmp_path_factory.mktemp(request.param), program)
        wait_until(lambda: fetch(f"http://127.0.0.1:{gateway.admin}/ready")[0] == 200, timeout=30, what="the proxy to be ready")
        yield gateway
    finally:
        if gateway:
            gateway.close()
        mesh.close()


def page(gateway):
    return gateway.mesh.get("/productpage", port=gateway.port)


def assert_nothing_rejected(gateway):
    stats = gateway.stats()
    rejected = {name: value for name, value in stats.items() if name.endswith(("update_rejected", "init_fetch_timeout")) and value}
    assert not rejected, f"{rejected}\n{gateway.proxy.text()[-3000:]}"
    assert stats["cluster_manager.cds.update_success"] >= 1 and stats["listener_manager.lds.update_success"] >= 1
    assert stats["listener_manager.total_listeners_active"] >= 1


def test_it_serves_bookinfo(gateway):
    wait_until(lambda: page(gateway).status == 200, timeout=20, what="the product page")
    assert {stars(page(gateway).body) for _ in range(30)} == {"v1", "v2", "v3"}
    assert_nothing_rejected(gateway)
    assert fetch_status(gateway, "/gone") == 301 and fetch_status(gateway, "/nowhere") == 404


def fetch_status(gateway, path):
    return gateway.mesh.get(path, port=gateway.port).status


def test_its_calls_are_mutual_tls(gateway):
    page(gateway)
    stats = gateway.stats()
    handshakes = [value for name, value in stats.items() if "productpage" in name and name.endswith("ssl.handshake")]
    assert sum(handshakes) >= 1, "no TLS handshake with productpage"


def test_it_follows_changes_and_takes_all_of_istios_routing(gateway, samples):
    gateway.mesh.apply(ROOT / "samples/bookinfo/networking/virtual-service-all-v1.yaml")
    wait_until(lambda: {stars(page(gateway).body) for _ in range(10)} == {"v1"}, what="every page to show v1")
    networking = samples / "bookinfo/networking"
    for name in ["destination-rule-all", "virtual-service-reviews-test-v2", "virtual-service-ratings-test-delay", "virtual-service-ratings-test-abort",
                 "virtual-service-reviews-90-10", "virtual-service-reviews-jason-v2-v3", "destination-rule-all-mtls", "fault-injection-details-v1"]:
        gateway.mesh.apply(networking / f"{name}.yaml")
        assert_nothing_rejected(gateway)
    gateway.mesh.delete(ROOT / "samples/bookinfo/networking/virtual-service-all-v1.yaml")
    assert page(gateway).status == 200
    assert_nothing_rejected(gateway)


def test_its_log_has_no_complaint(gateway):
    complaints = [line for line in gateway.proxy.text().splitlines() if "][error]" in line or "rejected" in line]
    assert not complaints, json.dumps(complaints, indent=1)
