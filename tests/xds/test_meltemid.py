"""meltemid as a program: identities over TLS, who may have what, waiting for liveness, refusals, start and stop."""
import concurrent.futures
import signal
import socket
import subprocess

import grpc
import pytest

import ads
from meshes import BIN, free_port, wait_until
from programs import Api, ControlPlane, write

ACCOUNT = "/api/v1/namespaces/default/serviceaccounts"
RULES = "/apis/networking.istio.io/v1/namespaces/default/virtualservices"
CSR_METHOD = "/istio.v1.auth.IstioCertificateService/CreateCertificate"
SERVICE = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "web"},
           "spec": {"clusterIP": "10.96.0.10", "selector": {"app": "web"}, "ports": [{"name": "http", "port": 80}]}}


def rule(seconds):
    return {"apiVersion": "networking.istio.io/v1", "kind": "VirtualService", "metadata": {"name": "web"},
            "spec": {"hosts": ["web"], "http": [{"timeout": f"{seconds}s", "route": [{"destination": {"host": "web"}}]}]}}


@pytest.fixture
def plane(tmp_path):
    plane = ControlPlane(tmp_path, "--state-dir", tmp_path / "state", "--api-address", f"unix:{tmp_path}/api.sock")
    plane.api = Api(tmp_path / "api.sock")
    try:
        yield plane.start()
    finally:
        plane.close()


def token_of(plane, account):
    return plane.api.create(f"{ACCOUNT}/{account}/token", {"apiVersion": "authentication.k8s.io/v1", "kind": "TokenRequest",
                                                           "spec": {"audiences": ["istio-ca"]}})["status"]["token"]


def make_account(plane, name):
    plane.api.create(ACCOUNT, {"apiVersion": "v1", "kind": "ServiceAccount", "metadata": {"name": name}})
    return token_of(plane, name)


def secure_channel(plane, tmp_path):
    root = (tmp_path / "state/root-cert.pem").read_bytes()
    return grpc.secure_channel(f"127.0.0.1:{plane.discovery}", grpc.ssl_channel_credentials(root),
                               [("grpc.ssl_target_name_override", "istiod.istio-system.svc")])


def bearer(token):
    return (("authorization", f"Bearer {token}"),)


def request_certificate(channel, tmp_path, metadata, lifetime_s=0):
    subprocess.run(["openssl", "req", "-new", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/O=someone",
                    "-addext", "subjectAltName=URI:spiffe://cluster.local/ns/kube-system/sa/admin",
                    "-keyout", tmp_path / "key.pem", "-out", tmp_path / "csr.pem"], check=True, capture_output=True)
    csr = (tmp_path / "csr.pem").read_bytes()
    # IstioCertificateRequest{csr = 1}; the length takes two bytes.
    message = b"\x0a" + bytes([len(csr) & 0x7F | 0x80, len(csr) >> 7]) + csr
    if lifetime_s:  # validity_duration = 3, of two bytes too
        message += bytes([0x18, lifetime_s & 0x7F | 0x80, lifetime_s >> 7])
    return channel.unary_unary(CSR_METHOD)(message, metadata=metadata, timeout=10)


def test_a_token_becomes_a_certificate_for_its_account_alone(plane, tmp_path):
    token = make_account(plane, "client")
    answer = request_certificate(secure_channel(plane, tmp_path), tmp_path, bearer(token))
    leaf = answer[answer.index(b"-----BEGIN"):]
    text = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName", "-issuer"], input=leaf, capture_output=True, check=True).stdout
    assert b"URI:spiffe://cluster.local/ns/default/sa/client" in text and b"kube-system" not in text
    with pytest.raises(grpc.RpcError) as refused:
        request_certificate(secure_channel(plane, tmp_path), tmp_path, bearer("a.b.c"))
    assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED
    assert plane.metrics()["citadel_server_success_cert_issuance_count"] == "1"


def test_a_proxy_gets_the_configuration_of_its_own_identity(plane, tmp_path):
    token = make_account(plane, "client")

    def first_answer(who, metadata):
        stream = ads.Stream(0, who, channel=secure_channel(plane, tmp_path), metadata=metadata)
        try:
            stream.subscribe(ads.CLUSTER)
            return stream.take()
        finally:
            stream.close()

    assert first_answer(ads.node(), bearer(token))[0] == ads.CLUSTER
    for who, metadata, code in [(ads.node(), (), grpc.StatusCode.UNAUTHENTICATED),
                                (ads.node(namespace="other"), bearer(token), grpc.StatusCode.PERMISSION_DENIED)]:
        with pytest.raises(grpc.RpcError) as refused:
            first_answer(who, metadata)
        assert refused.value.code() == code


def test_a_restart_keeps_root_and_tokens(plane, tmp_path):
    token = make_account(plane, "client")
    root = (tmp_path / "state/root-cert.pem").read_bytes()
    plane.kill()
    plane.start()
    assert (tmp_path / "state/root-cert.pem").read_bytes() == root
    assert request_certificate(secure_channel(plane, tmp_path), tmp_path, bearer(token))
    for name in ["ca/root-key.pem", "token-key.pem"]:
        assert (tmp_path / "state" / name).stat().st_mode & 0o777 == 0o600


def test_a_deleted_account_is_refused_at_once(plane, tmp_path):
    token = make_account(plane, "client")
    channel = secure_channel(plane, tmp_path)
    assert request_certificate(channel, tmp_path, bearer(token))
    assert plane.api.call("DELETE", f"{ACCOUNT}/client")[0] == 200

    def refusal(method):
        with pytest.raises(grpc.RpcError) as refused:
            method()
        assert refused.value.code() == grpc.StatusCode.UNAUTHENTICATED and "was deleted" in refused.value.details()
    refusal(lambda: request_certificate(channel, tmp_path, bearer(token)))
    again = make_account(plane, "client")
    refusal(lambda: request_certificate(channel, tmp_path, bearer(token)))  # the name is used again, by another
    assert request_certificate(channel, tmp_path, bearer(again))
    implied = token_of(plane, "default")
    make_account(plane, "default")
    assert request_certificate(channel, tmp_path, bearer(implied))


def test_a_lifetime_over_the_maximum_is_refused(tmp_path):
    plane = ControlPlane(tmp_path, "--state-dir", tmp_path / "state", "--api-address", f"unix:{tmp_path}/api.sock",
                         env={"DEFAULT_WORKLOAD_CERT_TTL": "1h", "MAX_WORKLOAD_CERT_TTL": "2h"})
    plane.api = Api(tmp_path / "api.sock")
    try:
        plane.start()
        token = make_account(plane, "client")
        channel = secure_channel(plane, tmp_path)
        answer = request_certificate(channel, tmp_path, bearer(token))
        leaf = answer[answer.index(b"-----BEGIN"):]
        for seconds, has_ended in [(3500, False), (3700, True)]:
            check = subprocess.run(["openssl", "x509", "-noout", "-checkend", str(seconds)], input=leaf, capture_output=True)
            assert (check.returncode != 0) == has_ended, check.stdout
        with pytest.raises(grpc.RpcError) as refused:
            request_certificate(channel, tmp_path, bearer(token), lifetime_s=7201)
        assert refused.value.code() == grpc.StatusCode.INVALID_ARGUMENT and "7200 s" in refused.value.details()
    finally:
        plane.close()


@pytest.fixture
def stream(plane):
    plane.api.create("/api/v1/namespaces/default/services", SERVICE)
    plane.api.create(RULES, rule(1))
    stream = ads.Stream(plane.plaintext)
    for kind, names in [(ads.CLUSTER, ()), (ads.LISTENER, ()), (ads.ROUTES, ["80"])]:
        stream.subscribe(kind, names)
        stream.take()
    yield stream
    stream.close()


def replace_rule(plane, seconds):
    status, answer = plane.api.call("PUT", f"{RULES}/web", rule(seconds))
    assert status == 200, answer


def test_waiting_ends_when_the_proxy_accepted(plane, stream):
    wait_until(lambda: plane.json("/debug/live?timeout=1s")["live"] == 1, what="the first configuration to be live")
    replace_rule(plane, 2)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        waiting = pool.submit(plane.json, "/debug/live?timeout=20s")
        late = plane.json("/debug/live?timeout=50ms")
        assert (late["proxies"], late["live"], late["rejected"]) == (1, 0, []), "nobody has accepted yet"
        assert not waiting.done()
        assert stream.take()[0] == ads.ROUTES
        done = waiting.result(timeout=10)
    assert (done["proxies"], done["live"], done["rejected"]) == (1, 1, [])
    assert done["version"] >= late["version"] and done["waited_ms"] < 15000


def test_a_rejection_ends_the_wait_with_its_reason(plane, stream):
    replace_rule(plane, 3)
    response = stream.incoming.get(timeout=10)
    stream.send(type_url=response.type_url, response_nonce=response.nonce, error_detail={"code": 3, "message": "no such route"})
    answer = plane.json("/debug/live?timeout=20s")
    assert answer["live"] == 0 and answer["waited_ms"] < 15000
    assert [(r["type"], r["error"]) for r in answer["rejected"]] == [("rds", "no such route")]
    proxy, = plane.json("/debug/syncz")
    assert proxy["types"]["rds"]["state"] == "REJECTED" and proxy["types"]["cds"]["state"] == "SYNCED"
    assert plane.metrics()['pilot_total_xds_rejects{type="rds"}'] == "1"


def test_a_policy_nobody_enforces_is_refused(plane):
    policy = {"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy", "metadata": {"name": "deny"}, "spec": {}}
    status, answer = plane.api.call("POST", "/apis/security.istio.io/v1/namespaces/default/authorizationpolicies", policy)
    assert status == 422 and "AuthorizationPolicy" in answer["message"] and "not enforced" in answer["message"], answer


def test_a_policy_nobody_enforces_in_a_directory_is_told(tmp_path):
    directory = tmp_path / "config"
    directory.mkdir()
    write(directory, "deny.yaml", "apiVersion: security.istio.io/v1\nkind: AuthorizationPolicy\nmetadata: {name: deny}\nspec: {}\n")
    plane = ControlPlane(tmp_path, "--config-dir", directory)
    try:
        plane.start()
        problem, = plane.json("/debug/config_version")["problems"]
        assert "deny.yaml" in problem["path"] and "not enforced" in problem["message"]
        (directory / "deny.yaml").unlink()
        wait_until(lambda: not plane.json("/debug/config_version")["problems"], what="the problem to go")
    finally:
        plane.close()


def test_sigterm_drains_and_exits_well(plane, stream):
    plane.program.process.send_signal(signal.SIGTERM)
    assert plane.program.process.wait(timeout=10) == 0, plane.program.text()


def run(tmp_path, *flags):
    result = subprocess.run([BIN / "meltemid", "--monitoring-address", "127.0.0.1:0", "--discovery-address", "127.0.0.1:0", *map(str, flags)],
                            capture_output=True, text=True, timeout=20)
    assert result.returncode == 1, result.stderr
    lines = [line for line in result.stderr.splitlines() if "\tinfo\t" not in line]
    assert len(lines) == 2, lines
    return lines


def test_mistakes_at_the_start_say_what_and_what_to_do(tmp_path):
    config = tmp_path / "config"
    config.mkdir()
    (tmp_path / "mesh.yaml").write_text("accessLogFile: /dev/stdout\nconnectTimeout: soon\n")
    what, _ = run(tmp_path, "--config-dir", config, "--mesh-config", tmp_path / "mesh.yaml")
    assert "mesh.yaml:2:" in what and "connectTimeout" in what
    what, _ = run(tmp_path, "--config-dir", config, "--mesh-config", tmp_path / "none.yaml")
    assert "none.yaml does not exist" in what
    what, todo = run(tmp_path)
    assert "nothing to serve" in what and "--config-dir" in todo
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        what, todo = run(tmp_path, "--config-dir", config, "--plaintext-address", f"127.0.0.1:{taken.getsockname()[1]}")
        assert "in use" in what and "--plaintext-address" in todo
    what, _ = run(tmp_path, "--config-dir", config, "--ca-dir", config)
    assert "ca-cert.pem is missing" in what
    what, todo = run(tmp_path, "--state-dir", tmp_path / "s", "--api-address", "0.0.0.0:0")
    assert "could change the mesh" in what and "--api-token-file" in todo


def test_plain_text_is_off_when_the_tls_port_is_placed(tmp_path):
    port = free_port()
    plane = ControlPlane(tmp_path, "--config-dir", tmp_path)
    plane.command = lambda: [BIN / "meltemid", "--config-dir", tmp_path, "--discovery-address", f"127.0.0.1:{port}",
                             "--monitoring-address", f"127.0.0.1:{plane.monitoring}"]
    try:
        plane.start()
        assert "without TLS" not in plane.program.text()
    finally:
        plane.close()
