"""What access logs say of a client's TLS that failed (DOWNSTREAM_TRANSPORT_FAILURE_REASON), beside Envoy. The words are each program's
own, Envoy's are OpenSSL's; when something is said, and that it is one word for whoever splits the line, is the same."""
import os
import socket

import pytest

from certificates import Authority
from meshes import free_port, wait_until
from proxies import Proxy, RawOrigin, cluster, file_log, http_manager, listener, tcp_proxy
from test_tls_failures import alert, say
from tls import ca, client_context, downstream, https, visit

FORMAT = "%DOWNSTREAM_TRANSPORT_FAILURE_REASON% %RESPONSE_FLAGS% %CONNECTION_TERMINATION_DETAILS%"


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    directory = tmp_path_factory.mktemp("certificates")
    root, other = Authority(directory), Authority(directory, "other")
    root.server, root.client = root.issue("server", "DNS:a.test"), root.issue("client", "URI:spiffe://mesh/a")
    root.wrong, root.stranger = root.issue("wrong", "URI:spiffe://mesh/b"), other.issue("stranger", "URI:spiffe://mesh/a")
    root.expired = root.issue("expired", "URI:spiffe://mesh/a", start=-10, end=-2)
    return root


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_a_listener_logs_why_a_handshake_failed(tmp_path, keys, envoy):
    shown = lambda pair: lambda port: visit(port, client_context(pair=pair))
    # what the client does, a part of what Meltemi says, a part of what Envoy says
    cases = [(lambda port: say(port, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"), "peer_spoke_plain_HTTP", "HTTP_REQUEST"),
             (lambda port: say(port, b"SSH-2.0-OpenSSH_9.2\r\n"), "peer_spoke_no_TLS", "WRONG_VERSION_NUMBER"),
             (lambda port: say(port, b"\x16\x03\x01\x00\x05\x01\x00"), "-", "-"), (alert, "peer_does_not_know_our_issuer", "TLS_error:"),
             (shown(None), "no_client_certificate", "PEER_DID_NOT_RETURN_A_CERTIFICATE"),
             (shown(keys.wrong), "SAN_mismatch:_got_spiffe://mesh/b", "SAN_matcher,_certificate_SANs_are_[spiffe://mesh/b]"),
             (shown(keys.stranger), "unknown_issuer", "unable_to_get_local_issuer_certificate"),
             (shown(keys.expired), "certificate_expired", "certificate_has_expired"), (shown(keys.client), "-", "-")]
    port, log = free_port(), tmp_path / "log"
    rules = {**ca(keys), "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": "spiffe://mesh/a"}}]}
    socket_ = downstream(keys.server, validation=rules, require_client_certificate=True, alpn=["http/1.1"])
    with Proxy(tmp_path, [https(port, socket_, access_log=[file_log(log, FORMAT)])], [], envoy=envoy):
        for n, (act, *_) in enumerate(cases):
            act(port)
            wait_until(lambda: log.exists() and len(log.read_text().splitlines()) == n + 1, what=f"line {n} of the log")
    lines = [line.split(" ") for line in log.read_text().splitlines()]
    assert [line[1:] for line in lines] == [["-", "-"]] * len(cases)
    wanted = [case[2 if envoy else 1] for case in cases]
    assert [want if want in line[0] and (want == "-") == (line[0] == "-") else line[0] for want, line in zip(wanted, lines)] == wanted


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_a_connection_logs_why_its_records_failed(tmp_path, keys, envoy):
    """A TCP proxy's log and a listener's tell, a request's does not."""
    ports, asked, log = [free_port() for _ in range(2)], [], lambda name: file_log(tmp_path / name, FORMAT)
    with RawOrigin(lambda connection: asked.append(connection.recv(10_000)) or connection.recv(1)) as origin:
        managers = [http_manager(access_log=[log("request")]), tcp_proxy(access_log=[log("tcp")])]
        listeners = [listener(port, manager, transport_socket=downstream(keys.server), access_log=[log(f"{n}")])
                     for n, (port, manager) in enumerate(zip(ports, managers))]
        with Proxy(tmp_path, listeners, [cluster(origin.port)], envoy=envoy):
            for n, port in enumerate(ports):
                with socket.create_connection(("127.0.0.1", port), timeout=10) as raw, client_context().wrap_socket(raw) as client:
                    client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                    wait_until(lambda: len(asked) > n, what="the origin to be asked")
                    os.write(client.fileno(), b"this is no record, and nothing that anybody could decrypt")
                    wait_until(lambda: (tmp_path / str(n)).exists() and (tmp_path / str(n)).read_text(), what="the log")
            read = lambda name: wait_until((tmp_path / name).read_text, what="the log").split(" ")
            lines = {name: read(name) for name in ("request", "tcp", "0", "1")}
    assert lines["request"] == ["-", "DC", "-\n"]
    says = "WRONG_VERSION_NUMBER" if envoy else "record_too_long"
    assert all(says in lines[name][0] and lines[name][1:] == ["-", "-\n"] for name in ("tcp", "0", "1")), lines
