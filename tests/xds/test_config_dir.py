"""meltemid on a directory: files in, xDS out, and a page that says which version of the files is live."""
import json

import pytest

import ads
from programs import ControlPlane, fetch, write
from meshes import wait_until

SERVICE = """
apiVersion: v1
kind: Service
metadata: {{name: {name}, namespace: default}}
spec:
  clusterIP: {vip}
  selector: {{app: {name}}}
  ports:
  - {{name: http, port: 80, targetPort: 8080}}
"""
SLICE = """
apiVersion: discovery.k8s.io/v1
kind: EndpointSlice
metadata:
  name: {name}-1
  namespace: default
  labels: {{kubernetes.io/service-name: {name}}}
addressType: IPv4
endpoints:
- addresses: [{ip}]
  conditions: {{ready: true}}
ports:
- {{name: http, port: 8080}}
"""
RULE = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: web, namespace: default}}
spec:
  hosts: [web]
  http:
  - timeout: {seconds}s
    route:
    - destination: {{host: web}}
"""
WEB = "outbound|80||web.default.svc.cluster.local"


@pytest.fixture
def directory(tmp_path):
    path = tmp_path / "config"
    path.mkdir()
    for at, name in enumerate(["web", "db"]):
        write(path, f"{name}.yaml", SERVICE.format(name=name, vip=f"10.96.0.{10 + at}"))
        write(path, f"{name}-slice.yaml", SLICE.format(name=name, ip=f"10.244.0.{10 + at}"))
    return path


@pytest.fixture
def control_plane(tmp_path, directory):
    plane = ControlPlane(tmp_path, "--config-dir", directory)
    try:
        yield plane.start()
    finally:
        plane.close()


def everything(stream):
    for kind in (ads.CLUSTER, ads.LISTENER):
        stream.subscribe(kind)
        stream.take()
    names = [n for n in stream.names(ads.CLUSTER) if n.startswith("outbound|")]
    stream.subscribe(ads.ENDPOINTS, names)
    stream.take()
    stream.subscribe(ads.ROUTES, ["80"])
    stream.take()
    return stream


@pytest.fixture(params=[True, False], ids=["delta", "state-of-the-world"])
def stream(request, control_plane):
    stream = ads.Stream(control_plane.plaintext, is_delta=request.param)
    yield everything(stream)
    stream.close()


def addresses(stream, cluster=WEB):
    assignment = stream.held[ads.ENDPOINTS, cluster]
    return sorted(e.endpoint.address.socket_address.address for group in assignment.endpoints for e in group.lb_endpoints)


def test_files_come_out_as_resources(stream):
    assert {WEB, "BlackHoleCluster", "PassthroughCluster"} <= set(stream.names(ads.CLUSTER))
    assert {"0.0.0.0_80", "virtualOutbound"} <= set(stream.names(ads.LISTENER))
    assert addresses(stream) == ["10.244.0.10"]
    hosts = {host.name for host in stream.held[ads.ROUTES, "80"].virtual_hosts}
    assert "web.default.svc.cluster.local:80" in hosts


def test_an_endpoint_touches_one_resource(control_plane, directory, stream):
    before = control_plane.json("/debug/config_version")
    write(directory, "web-slice.yaml", SLICE.format(name="web", ip="10.244.0.99"))
    kind, changed, removed = stream.take()
    assert (kind, changed, removed) == (ads.ENDPOINTS, [WEB], [])
    assert addresses(stream) == ["10.244.0.99"]
    assert stream.is_silent(), f"more than one resource went out: {stream.incoming.queue}"
    after = control_plane.json("/debug/config_version")
    assert after["hash"] != before["hash"] and after["sequence"] > before["sequence"]


def test_a_route_change_sends_the_route_alone(directory, stream):
    write(directory, "rule.yaml", RULE.format(seconds=3))
    kind, changed, _ = stream.take()
    assert (kind, changed) == (ads.ROUTES, ["80"])
    assert stream.is_silent(), f"more than the route went out: {stream.incoming.queue}"
    text = json.dumps(stream.json(ads.ROUTES, "80"))
    assert '"timeout": "3s"' in text
    (directory / "rule.yaml").unlink()
    kind, changed, _ = stream.take()
    assert (kind, changed) == (ads.ROUTES, ["80"])
    assert '"timeout": "3s"' not in json.dumps(stream.json(ads.ROUTES, "80"))


def test_a_service_comes_and_goes_make_before_break(directory, stream):
    write(directory, "new.yaml", SERVICE.format(name="new", vip="10.96.0.77") + "---" + SLICE.format(name="new", ip="10.244.0.77"))
    cluster = "outbound|80||new.default.svc.cluster.local"
    first, changed, _ = stream.take()
    assert first == ads.CLUSTER and cluster in changed, "the cluster comes before what points at it"
    wait_until(lambda: stream.take(1) and ("new.default.svc.cluster.local:80" in
               {host.name for host in stream.held[ads.ROUTES, "80"].virtual_hosts}), what="the route")
    (directory / "new.yaml").unlink()
    order = []
    while (ads.CLUSTER, cluster) in stream.held and len(order) < 10:
        kind, changed, removed = stream.take()
        order.append(kind)
        if not stream.is_delta and kind == ads.CLUSTER and cluster not in changed:
            stream.held.pop((ads.CLUSTER, cluster))
    assert ads.ROUTES in order and order.index(ads.ROUTES) < len(order) - 1 - order[::-1].index(ads.CLUSTER), order


def test_a_bad_file_changes_nothing_and_is_told(control_plane, directory, stream):
    write(directory, "rule.yaml", RULE.format(seconds="three"))
    problems = wait_until(lambda: control_plane.json("/debug/config_version").get("problems"), what="the problem to be told")
    assert any("rule.yaml" in json.dumps(p) and "spec.http[0].timeout" in json.dumps(p) for p in problems), problems
    assert stream.is_silent()
    write(directory, "rule.yaml", RULE.format(seconds=4))
    assert stream.take()[:2] == (ads.ROUTES, ["80"])
    wait_until(lambda: not control_plane.json("/debug/config_version").get("problems"), what="the problem to go")


def test_a_restart_serves_the_same_and_a_client_finds_it(control_plane, stream):
    held = {key: message.SerializeToString(deterministic=True) for key, message in stream.held.items()}
    control_plane.kill()
    control_plane.start()
    again = everything(ads.Stream(control_plane.plaintext, is_delta=stream.is_delta))
    try:
        assert {key: message.SerializeToString(deterministic=True) for key, message in again.held.items()} == held
    finally:
        again.close()


def test_an_unknown_page_and_a_flag_that_does_not_exist(control_plane, tmp_path):
    assert fetch(control_plane.url("/nothing"))[0] == 404
    import subprocess
    from meshes import BIN
    result = subprocess.run([BIN / "meltemid", "--confg-dir", tmp_path], capture_output=True, text=True, timeout=20)
    assert result.returncode == 1 and "config-dir" in result.stderr
