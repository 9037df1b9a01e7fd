"""Workload certificates that live for seconds: connections go on over renewals, new ones use the new certificate, and a
control plane that is away at renewal time, even past the end of the certificate, is waited for."""
import hashlib
import json
import os
import re
import signal
import socket
import ssl
import subprocess
import time
import urllib.request

import pytest

from meshes import Mesh, ROOT, processes_of, wait_until

LIFETIME_S = 12
# Renewed when 65 to 85 % is left: every workload has tried at least once long before the first certificate ends.
GRACE_RATIO = 0.75
MESH_CONFIG = f"""
accessLogFile: /dev/stdout
defaultProviders: {{metrics: [prometheus]}}
defaultConfig:
  proxyMetadata: {{SECRET_TTL: {LIFETIME_S}s, SECRET_GRACE_PERIOD_RATIO: "{GRACE_RATIO}"}}
"""
# One stream, which has a connection between the proxies to itself, and one keep-alive connection; each line of stdin is
# one exchange on both, answered by the hash of the client's certificate as the server's proxy saw it. Anything that
# breaks ends it.
CLIENT = """
import http.client, re, socket, sys
stream = socket.create_connection(("tcp-echo", 9000), timeout=10)
lines = stream.makefile("rb")
web = http.client.HTTPConnection("httpbin", 8000, timeout=10)
web.connect()
first = web.sock
for word in sys.stdin:
    stream.sendall(word.encode())
    assert lines.readline().decode().endswith(word), "the stream ended"
    web.request("GET", "/headers")
    answer = web.getresponse()
    text = answer.read().decode()
    assert answer.status == 200 and web.sock is first, (answer.status, text)
    print(re.search("Hash=([0-9a-f]{64})", text).group(1), flush=True)
"""
# While requests hold all idle connections to httpbin, the next one needs a new one.
NEW_CONNECTION = """
import http.client, re, sys
def ask(path):
    connection = http.client.HTTPConnection("httpbin", 8000, timeout=20)
    connection.request("GET", path)
    return connection
held = [ask("/delay/1") for _ in range(int(sys.argv[1]))]
print(re.search("Hash=([0-9a-f]{64})", ask("/headers").getresponse().read().decode()).group(1))
assert all(connection.getresponse().status == 200 for connection in held)
"""


class Client:
    def __init__(self, mesh):
        self.process = mesh.start("exec", "curl", "--", "python3", "-u", "-c", CLIENT, stdin=subprocess.PIPE)
        self.count = 0

    def exchange(self):
        """One exchange on both connections; what the server's proxy saw as the client's certificate."""
        self.count += 1
        self.process.stdin.write(f"line {self.count}\n")
        self.process.stdin.flush()
        seen = self.process.stdout.readline().strip()
        assert seen, f"exchange {self.count}: {self.process.communicate()[1]}"
        return seen

    def close(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture(scope="module")
def mesh():
    mesh = Mesh("renewal")
    config = mesh.home / "mesh.yaml"
    config.write_text(MESH_CONFIG)
    try:
        mesh.up(ROOT / "samples/httpbin", ROOT / "samples/curl/curl.yaml", ROOT / "samples/tcp-echo/tcp-echo.yaml",
                extra=("--mesh-config", config))
        mesh.held = 0
        mesh.addresses = {w["workload"]: w["address"] for w in mesh.status()["workloads"]}
        yield mesh
    finally:
        mesh.close()


@pytest.fixture(scope="module")
def client(mesh):
    client = Client(mesh)
    try:
        yield client
    finally:
        client.close()


BOTH = ("curl", "httpbin", "tcp-echo-v1")


def page(mesh, workload, path):
    with urllib.request.urlopen(f"http://{mesh.addresses[workload]}:15000{path}", timeout=10) as answer:
        return answer.read().decode()


def serial(mesh, workload):
    return json.loads(page(mesh, workload, "/certs"))["certificates"][0]["cert_chain"][0]["serial_number"]


def serials(mesh):
    return {workload: serial(mesh, workload) for workload in BOTH}


def metric(mesh, workload, name):
    return float(re.search(rf"^{name} (\S+)$", page(mesh, workload, "/stats/prometheus"), re.M).group(1))


def differ(before, now):
    return all(before[workload] != now[workload] for workload in before)


def der_of(mesh, workload):
    """The certificate a proxy would show now, from its dump."""
    dump = json.loads(mesh.run("proxy-config", "secret", workload, "-o", "json").stdout)
    chain, = [s["secret"]["tls_certificate"] for s in dump["dynamic_active_secrets"] if "tls_certificate" in s["secret"]]
    assert chain["private_key"] == {"inline_bytes": "W3JlZGFjdGVkXQ=="}, "a key is never shown"
    text = subprocess.run(["base64", "-d"], input=chain["certificate_chain"]["inline_bytes"].encode(), capture_output=True, check=True).stdout
    return ssl.PEM_cert_to_DER_cert(text.decode())


def shown_by(mesh, workload, port):
    """The serial number of the certificate that a workload's proxy shows to a new connection."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.set_alpn_protocols(["istio"])
    with socket.create_connection((mesh.addresses[workload], port), timeout=10) as plain:
        with context.wrap_socket(plain) as secure:
            der = secure.getpeercert(binary_form=True)
    text = subprocess.run(["openssl", "x509", "-inform", "der", "-noout", "-serial"], input=der, capture_output=True, check=True).stdout
    return text.decode().strip().removeprefix("serial=").lower().lstrip("0")


def new_connections_have_the_new_one(mesh, first):
    """As its own proxy dumps it, the client's as the server's proxy sees it and the server's as it is shown."""
    def hold():  # another renewal may come between two looks
        own = hashlib.sha256(der_of(mesh, "curl")).hexdigest()
        mesh.held += 4  # what an earlier look left idle is held as well
        seen = mesh.exec("curl", "python3", "-c", NEW_CONNECTION, str(mesh.held)).stdout.strip()
        server = serial(mesh, "tcp-echo-v1").lstrip("0")
        return seen == own and seen != first and shown_by(mesh, "tcp-echo-v1", 9000) == server
    wait_until(hold, timeout=2 * LIFETIME_S, what="new connections to use the new certificates")


def control_planes(mesh):
    return [pid for pid, line in processes_of(mesh.home) if "bin/meltemid" in line]


def test_connections_go_on_over_renewals_and_new_ones_use_the_new_certificate(mesh, client):
    first = client.exchange()
    first_serials = last = serials(mesh)
    for renewal in range(2):
        def renewed():
            assert client.exchange() == first, "another connection came in place of the first"
            return differ(last, serials(mesh))
        wait_until(renewed, timeout=2 * LIFETIME_S, what=f"renewal {renewal + 1} on every end")
        last = serials(mesh)
    for _ in range(5):
        assert client.exchange() == first
    assert differ(first_serials, last)

    new_connections_have_the_new_one(mesh, first)
    client.exchange()


def test_proxy_config_shows_the_certificate(mesh):
    def shown():
        row = next(line.split() for line in mesh.run("proxy-config", "secret", "curl").stdout.splitlines() if "Cert Chain" in line)
        assert row[1:5] == ["Cert", "Chain", "ACTIVE", "true"]
        return row[5] == serial(mesh, "curl")
    wait_until(shown, timeout=LIFETIME_S, what="the serial number in the table")
    assert "ROOTCA" in mesh.run("proxy-config", "secret", "curl").stdout


def test_a_control_plane_that_is_away_is_waited_for(mesh, client):
    """Killed again and again, at first while certificates are valid, then until they have expired."""
    failures = {workload: metric(mesh, workload, "meltemi_certificate_failures_total") for workload in BOTH}
    began = time.monotonic()

    def keep_away():
        for pid in control_planes(mesh):
            os.kill(pid, signal.SIGKILL)
        client.exchange()

    def all_have_failed():
        keep_away()
        return all(metric(mesh, workload, "meltemi_certificate_failures_total") > failures[workload] for workload in BOTH)
    wait_until(all_have_failed, timeout=LIFETIME_S, what="attempts at renewal that fail")
    held = serials(mesh)
    for workload in BOTH:
        assert metric(mesh, workload, "istio_agent_cert_expiry_seconds") > 0
    assert mesh.exec("curl", "curl", "-s", "-o", "/dev/null", "-w", "%{http_code}", "http://httpbin:8000/get").stdout == "200"

    def all_have_expired():
        keep_away()
        return all(metric(mesh, workload, "istio_agent_cert_expiry_seconds") < 0 for workload in BOTH)
    wait_until(all_have_expired, timeout=2 * LIFETIME_S, what="certificates to expire")
    away = time.monotonic() - began
    for workload in BOTH:
        tries = metric(mesh, workload, "meltemi_certificate_failures_total") - failures[workload]
        assert tries <= 2 + 2 * away, "attempts come with a back-off"
    assert serials(mesh) == held

    def renewed():
        client.exchange()
        return differ(held, serials(mesh))
    wait_until(renewed, timeout=60, what="new certificates after the control plane is back")
    new_connections_have_the_new_one(mesh, None)
    client.exchange()
