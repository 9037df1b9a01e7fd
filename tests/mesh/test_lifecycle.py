"""Lives and deaths: what restarts, what goes on, what is left behind."""
import os
import signal
import subprocess
import time

import pytest

from meshes import Mesh, ROOT, processes_of, stars, wait_until

BOOKINFO = ROOT / "samples/bookinfo"


@pytest.fixture(scope="module")
def mesh(request):
    mesh = Mesh("life")
    try:
        mesh.up(BOOKINFO, ROOT / "samples/curl/curl.yaml")
        yield mesh
    finally:
        mesh.close()


def pids(mesh, *words):
    return [pid for pid, line in processes_of(mesh.home) if all(w in line for w in words)]


def page_is_fine(mesh):
    page = mesh.get("/productpage", timeout=10)
    return page.status == 200 and stars(page.body) in ("v1", "v2", "v3")


def workload(mesh, prefix):
    found = [w for w in mesh.status()["workloads"] if w["name"].startswith(prefix)]
    assert found, f"no workload {prefix}"
    return found[0]


def test_exec_passes_output_input_and_exit_code(mesh):
    assert mesh.exec("curl", "sh", "-c", "echo out; echo err >&2; exit 7", check=False).returncode == 7
    assert mesh.exec("curl", "curl", "-s", "http://details:9080/details/0").stdout.startswith('{"id": 0')


def test_nothing_escapes_the_sandbox(mesh):
    """A listener of the host is out of reach from inside; names outside the mesh go through the proxy."""
    import socket
    with socket.socket() as outside:
        outside.bind(("127.0.0.1", 0))
        outside.listen()
        outside.settimeout(1)
        port = outside.getsockname()[1]
        mesh.exec("curl", "curl", "-s", "-m", "3", f"http://127.0.0.1:{port}/", check=False)
        with pytest.raises(TimeoutError):
            outside.accept()


def test_a_killed_control_plane_stops_no_traffic_and_comes_back(mesh):
    proxies = sorted(pids(mesh, "meltemi-proxy"))
    (victim,) = pids(mesh, "bin/meltemid")
    os.kill(victim, signal.SIGKILL)
    for _ in range(10):
        assert page_is_fine(mesh)
    wait_until(lambda: pids(mesh, "bin/meltemid") not in ([], [victim]), timeout=30, what="a new meltemid")
    mesh_text = "apiVersion: networking.istio.io/v1\nkind: DestinationRule\nmetadata: {name: after-restart}\nspec: {host: details}\n"
    wait_until(lambda: mesh.apply_text(mesh_text), timeout=30, what="apply after the restart")
    assert sorted(pids(mesh, "meltemi-proxy")) == proxies, "proxies reconnect, they do not restart"
    mesh.delete_text(mesh_text)


def test_a_killed_proxy_is_restarted_and_its_app_is_not(mesh):
    app = workload(mesh, "details")["appPid"]
    proxy = workload(mesh, "details")["proxyPid"]
    os.kill(proxy, signal.SIGKILL)
    wait_until(lambda: workload(mesh, "details")["proxyPid"] not in (0, proxy) and workload(mesh, "details")["ready"], timeout=30,
               what="a new proxy for details")
    assert workload(mesh, "details")["appPid"] == app
    wait_until(lambda: "Error fetching product details" not in mesh.get("/productpage").body, what="details to answer again")


def test_a_killed_app_is_restarted(mesh):
    app = workload(mesh, "ratings")["appPid"]
    os.kill(app, signal.SIGKILL)
    again = wait_until(lambda: workload(mesh, "ratings")["appPid"] not in (0, app) and workload(mesh, "ratings")["ready"]
                       and workload(mesh, "ratings"), timeout=30, what="a new ratings")
    assert again["restarts"] >= 1


def test_run_joins_the_mesh_and_leaves_it(mesh):
    process = mesh.start("run", "--service", "reviews", "--version", "v4", "--port", "9080", "--",
                         "python3", str(ROOT / "samples/apps/reviews.py"), "9080")
    try:
        wait_until(lambda: workload(mesh, "reviews-v4")["ready"], timeout=20, what="reviews v4 to be ready")
        assert "reviewer" in mesh.exec("curl", "curl", "-s", "http://reviews:9080/reviews/0").stdout
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=20)
    wait_until(lambda: not any(w["name"].startswith("reviews-v4") for w in mesh.status()["workloads"]), what="reviews v4 to be gone")
    assert page_is_fine(mesh)


def test_run_passes_the_exit_code(mesh):
    process = mesh.start("run", "--service", "short", "--", "sh", "-c", "exit 9")
    process.communicate(timeout=30)
    assert process.returncode == 9


def test_down_leaves_nothing_and_up_works_again():
    mesh = Mesh("again")
    try:
        for _ in range(2):
            mesh.up(BOOKINFO)
            assert page_is_fine(mesh)
            mesh.run("down")
            assert processes_of(mesh.home) == []
            left = [str(p) for p in mesh.home.rglob("*") if p.is_socket()]
            assert left == []
    finally:
        mesh.close()


def test_ctrl_c_during_up_cleans_up():
    mesh = Mesh("ctrlc")
    try:
        process = mesh.start("up", BOOKINFO, "--images", ROOT / "samples/images.yaml", "--gateway-port", mesh.gateway_port)
        wait_until(lambda: pids(mesh, "bin/meltemid"), timeout=30, what="the control plane to start")
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)
        assert process.returncode != 0
        wait_until(lambda: [p for p in processes_of(mesh.home)] == [], timeout=20, what="every process to end")
    finally:
        mesh.close()
