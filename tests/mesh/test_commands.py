"""Commands on a running mesh: what they print, for people and for scripts, and their exit codes."""
import json
import pathlib
import re
import signal
import time

import pytest

from meshes import Mesh, ROOT, wait_until

BOOKINFO = ROOT / "samples/bookinfo"
RULE = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: extra}\nspec: {host: details}\n"


@pytest.fixture(scope="module")
def mesh():
    mesh = Mesh("words")
    try:
        mesh.up(BOOKINFO, ROOT / "samples/curl/curl.yaml")
        yield mesh
    finally:
        mesh.close()


def test_apply_says_what_it_did_and_when_it_was_live(mesh):
    first = mesh.apply_text(RULE).stdout
    assert "destinationrule.networking.istio.io/extra created" in first
    assert re.search(r"live on 8 of 8 proxies in [\d.]+ m?s\b", first)
    assert "extra unchanged" in mesh.apply_text(RULE).stdout
    assert "extra configured" in mesh.apply_text(RULE.replace("details", "ratings")).stdout
    assert "extra deleted" in mesh.delete_text(RULE).stdout
    assert "extra not found" in mesh.delete_text(RULE).stdout
    gone = mesh.run("delete", "dr", "extra", check=False)
    assert gone.returncode == 1 and "destinationrule" in gone.stdout
    assert "live on 8 of 8" in mesh.run("wait", "--for=live", "--timeout", "10s").stdout


def test_a_deployment_without_a_mapping_is_told_by_apply(mesh):
    text = ("apiVersion: apps/v1\nkind: Deployment\nmetadata: {name: alien}\nspec:\n  selector: {matchLabels: {app: alien}}\n"
            "  template:\n    metadata: {labels: {app: alien}}\n    spec: {containers: [{name: a, image: alien}]}\n")
    result = mesh.run("apply", "-f", "-", stdin=text, check=False)
    assert result.returncode == 1 and "image alien" in result.stderr and "images.yaml" in result.stderr
    mesh.delete_text(text)


def test_what_the_mesh_does_not_do_is_told_by_apply_and_status(mesh):
    text = ("apiVersion: networking.istio.io/v1\nkind: Gateway\nmetadata: {name: cross}\nspec:\n  selector: {istio: ingressgateway}\n"
            "  servers: [{port: {number: 15443, name: tls, protocol: TLS}, tls: {mode: AUTO_PASSTHROUGH}, hosts: ['*.local']}]\n")
    result = mesh.apply_text(text)
    assert "warning: Gateway default/cross: spec.servers[0].tls.mode" in result.stderr
    assert "problem: Gateway default/cross: spec.servers[0].tls.mode" in mesh.run("status").stdout
    assert [p["object"] for p in mesh.status()["problems"]] == ["Gateway default/cross"]
    assert "warning" not in mesh.apply_text(RULE).stderr
    mesh.delete_text(text), mesh.delete_text(RULE)
    assert mesh.status()["problems"] == []


def test_run_ends_when_its_command_cannot_start(mesh):
    result = mesh.run("run", "--service", "absent", "--", "./no-such-program", check=False, timeout=20)
    assert result.returncode == 127
    assert "./no-such-program cannot be started" in result.stdout + result.stderr and "image map" not in result.stdout + result.stderr


def test_get_in_every_form(mesh):
    table = mesh.run("get", "svc").stdout.splitlines()
    assert table[0].split() == ["NAME", "TYPE", "CLUSTER-IP", "PORTS", "AGE"]
    assert {line.split()[0] for line in table[1:]} == {"curl", "details", "productpage", "ratings", "reviews"}
    assert "istio-system" in mesh.run("get", "service", "-A").stdout
    one = json.loads(mesh.run("get", "destinationrules", "reviews", "-o", "json").stdout)
    assert one["kind"] == "DestinationRule" and len(one["spec"]["subsets"]) == 3
    assert "host: reviews" in mesh.run("get", "dr", "reviews", "-o", "yaml").stdout
    assert "service/reviews\n" in mesh.run("get", "Service", "-o", "name").stdout
    missing = mesh.run("get", "dr", "nothing", check=False)
    assert missing.returncode == 1 and "nothing" in missing.stderr and "meltemi get" in missing.stderr


def test_exec_reads_stdin_and_tells_what_cannot_start(mesh):
    assert mesh.run("exec", "curl", "--", "cat", stdin="through\n").stdout == "through\n"
    missing = mesh.exec("curl", "/no/such/program", check=False)
    assert missing.returncode == 127 and "cannot be started" in missing.stderr
    assert mesh.exec("curl", "sh", "-c", "kill -9 $$", check=False).returncode == 128 + 9
    assert mesh.exec("nobody", "true", check=False).returncode == 1


def test_exec_passes_signals(mesh):
    process = mesh.start("exec", "curl", "--", "sh", "-c", "trap 'exit 5' INT; echo ready; while :; do sleep 0.05; done")
    assert process.stdout.readline() == "ready\n"
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert process.returncode == 5


def test_logs_tail_and_follow(mesh):
    mesh.get("/productpage")
    assert len(mesh.run("logs", "productpage", "--proxy", "--tail", "1").stdout.splitlines()) == 1
    process = mesh.start("logs", "productpage", "--proxy", "-f", "--tail", "0")
    deadline = time.monotonic() + 20
    line = ""
    wait_until(lambda: mesh.get("/productpage").status == 200)
    while "GET /productpage" not in line and time.monotonic() < deadline:
        mesh.get("/productpage")
        line = process.stdout.readline()
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=20)
    assert "GET /productpage" in line and process.returncode == 0


@pytest.mark.parametrize("part, expected", [
    ("listener", "Route: 9080"), ("route", "outbound|9080||details"), ("cluster", "details.default.svc.cluster.local"),
    ("endpoint", "outbound|9080||details"), ("secret", "ROOTCA")])
def test_proxy_config(mesh, part, expected):
    assert expected in mesh.run("proxy-config", part, "productpage").stdout
    assert json.loads(mesh.run("proxy-config", part, "productpage-v1", "-o", "json").stdout)


def test_status_shows_edges_with_mutual_tls(mesh):
    wait_until(lambda: mesh.get("/productpage").status == 200)
    edges = {(e["from"], e["to"]): e for e in mesh.status()["edges"]}
    assert ("istio-ingressgateway", "productpage-v1") in edges and ("productpage-v1", "details-v1") in edges
    assert all(e["mutualTls"] == e["count"] > 0 for e in edges.values())
    text = mesh.run("status").stdout
    assert f"http://127.0.0.1:{mesh.gateway_port}" in text and re.search(r"mutual TLS on (\d+) of \1 edges", text)


def test_the_api_is_for_its_user_alone(mesh):
    api = mesh.status()["controlPlane"]["api"]
    assert api.startswith("unix:")
    assert pathlib.Path(api[5:]).stat().st_mode & 0o777 == 0o600


def test_keep_goes_on_and_up_starts_anew():
    mesh = Mesh("kept")
    try:
        mesh.up(ROOT / "samples/curl/curl.yaml")
        mesh.apply_text(RULE)
        mesh.run("down")
        kept = mesh.run("up", "--keep", "--gateway-port", mesh.gateway_port).stdout
        assert "1 Deployment ready" in kept
        assert "extra" in mesh.run("get", "dr").stdout
        mesh.run("down")
        mesh.up(ROOT / "samples/curl/curl.yaml")
        assert "extra" not in mesh.run("get", "dr").stdout
    finally:
        mesh.close()
