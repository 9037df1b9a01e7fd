"""A failed handshake has a class: in the metrics of its listener or cluster, and in the access log of the request."""
import json
import socket
import ssl
import subprocess

import pytest

from certificates import Authority
from meshes import free_port, wait_until
from programs import fetch
from proxies import Proxy, RawOrigin, TYPE, cluster, http_manager, listener, tcp_proxy, typed
from test_tls_client import Origin
from tls import ca, client_context, downstream, https, upstream, visit

TLS12 = ssl.TLSVersion.TLSv1_2


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    directory = tmp_path_factory.mktemp("certificates")
    root = Authority(directory)
    root.other = Authority(directory, "other")
    root.server, root.client = root.issue("server", "DNS:a.test"), root.issue("client", "URI:spiffe://mesh/a")
    root.wrong = root.issue("wrong", "URI:spiffe://mesh/b")
    root.stranger = root.other.issue("stranger", "URI:spiffe://mesh/a")
    root.expired = root.issue("expired", "URI:spiffe://mesh/a", start=-10, end=-2)
    root.early = root.issue("early", "URI:spiffe://mesh/a", start=2, end=9)
    root.revoked = root.issue("revoked", "URI:spiffe://mesh/a")
    root.revoke(root.revoked)
    root.list = root.crl()
    return root


def say(port, data):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
            while client.recv(4096):
                pass
        except OSError:  # refused already, and gone
            pass


def alert(port):
    """Ends a handshake with an alert of its own: the server's certificate is of no CA this client knows."""
    context = ssl.create_default_context(cafile=None)
    with pytest.raises(ssl.SSLError), socket.create_connection(("127.0.0.1", port), timeout=10) as raw:
        context.wrap_socket(raw, server_hostname="a.test")


def test_a_listener_tells_why(tmp_path, keys):
    rules = {**ca(keys), "crl": {"inline_string": keys.list},
             "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": "spiffe://mesh/a"}}]}
    socket_ = downstream(keys.server, validation=rules, require_client_certificate=True, require_sni=True,
                         params={"cipher_suites": ["ECDHE-ECDSA-AES128-GCM-SHA256"]}, alpn=["http/1.1"])
    shown = lambda pair, **fields: lambda port: visit(port, client_context(pair=pair, **fields))
    hello = b"\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"
    # what the client does, the class, Envoy's counter
    cases = [(lambda port: say(port, b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"), "peer_spoke_http", "connection_error"),
             (lambda port: say(port, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), "peer_spoke_http", "connection_error"),
             (lambda port: say(port, b"SSH-2.0-OpenSSH_9.2\r\n"), "peer_spoke_no_tls", "connection_error"),
             (lambda port: say(port, bytes(64)), "peer_spoke_no_tls", "connection_error"),
             (lambda port: say(port, hello[:7]), "peer_closed", None), (alert, "alert_received", "connection_error"),
             (shown(None), "no_certificate", "fail_verify_no_cert"), (shown(keys.wrong), "wrong_san", "fail_verify_san"),
             (shown(keys.stranger), "unknown_issuer", "fail_verify_error"), (shown(keys.expired), "certificate_expired", "fail_verify_error"),
             (shown(keys.early), "certificate_not_yet_valid", "fail_verify_error"), (shown(keys.revoked), "certificate_revoked", "fail_verify_error"),
             (shown(keys.client, most=ssl.TLSVersion.TLSv1_1), "no_shared_version", "connection_error"),
             (shown(keys.client, most=TLS12, ciphers="ECDHE-ECDSA-AES256-GCM-SHA384"), "no_shared_cipher", "connection_error"),
             (lambda port: visit(port, client_context(pair=keys.client), sni="b.test"), "no_certificate_for_name", "connection_error")]
    port = free_port()
    with Proxy(tmp_path, [https(port, socket_, stat_prefix="edge")], []) as proxy:
        expected, counters = {}, {}
        for act, reason, counter in cases:
            act(port)
            expected[reason] = expected.get(reason, 0) + 1
            counters[counter] = counters.get(counter, 0) + 1
        counters.pop(None)

        def counted():
            stats = proxy.stats()
            seen = {reason: stats.get(f"listener.edge.ssl.failures.{reason}", 0) for reason in expected}
            assert seen == expected, {name: value for name, value in stats.items() if "ssl" in name}
            assert {name: stats.get(f"listener.edge.ssl.{name}", 0) for name in counters} == counters
            assert "listener.edge.ssl.handshake" not in stats
            return True
        wait_until(counted, what="the failures to be counted")
        assert visit(port, client_context(pair=keys.client)).served
        stats = proxy.stats()
        assert stats["listener.edge.ssl.handshake"] == 1 and stats["listener.edge.ssl.ciphers.TLS_AES_128_GCM_SHA256"] == 1
        assert stats["listener.edge.ssl.curves.X25519"] == 1 and "listener.edge.ssl.no_certificate" not in stats
        scraped = proxy.admin("/stats/prometheus")[1]
        assert 'envoy_listener_ssl_fail_verify_san{envoy_listener_address="edge"} 1' in scraped


def test_a_cluster_tells_why(tmp_path, keys):
    log = tmp_path / "access.log"
    logged = [typed("envoy.access_loggers.file", "access_loggers.file.v3.FileAccessLog", path=str(log), log_format={
        "text_format_source": {"inline_string": "%REQ(:PATH)% %RESPONSE_CODE% %RESPONSE_FLAGS% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n"}})]
    http = RawOrigin(lambda connection: (connection.recv(4096), connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")))
    silent = RawOrigin(lambda connection: connection.recv(4096))
    other = RawOrigin(lambda connection: connection.sendall(b"220 mail.test ESMTP\r\n"))
    name = lambda text: {**ca(keys), "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": text}}]}
    tls = lambda pair, **fields: Origin(pair, **fields)
    # the origin, the client's rules, the class, what the log says
    cases = [(http, ca(keys), "peer_spoke_http", "peer spoke plain HTTP"), (other, ca(keys), "peer_spoke_no_tls", "peer spoke no TLS"),
             (silent, ca(keys), "peer_closed", "peer ended the connection during the handshake"),
             (tls(keys.client), name("spiffe://mesh/b"), "wrong_san", "SAN mismatch: got spiffe://mesh/a"),
             (tls(keys.stranger), ca(keys), "unknown_issuer", "unknown issuer"), (tls(keys.expired), ca(keys), "certificate_expired", "certificate expired"),
             (tls(keys.early), ca(keys), "certificate_not_yet_valid", "certificate not valid yet"),
             (tls(keys.revoked), {**ca(keys), "crl": {"inline_string": keys.list}}, "certificate_revoked", "certificate revoked"),
             (tls(keys.client), {"verify_certificate_hash": ["ab" * 32]}, "not_pinned", "certificate is none of those pinned"),
             (tls(keys.client, trust=keys, most=TLS12), ca(keys), "alert_received", "peer sent alert handshake_failure"),
             (tls(keys.client, most=TLS12, ciphers="ECDHE-ECDSA-AES256-CCM"), ca(keys), "alert_received", "peer sent alert handshake_failure")]
    port = free_port()
    routes = [{"match": {"path": f"/{i}"}, "route": {"cluster": f"c{i}"}} for i in range(len(cases))]
    clusters = [cluster(origin.port, name=f"c{i}", transport_socket=upstream(validation=rules)) for i, (origin, rules, *_) in enumerate(cases)]
    with Proxy(tmp_path, [listener(port, http_manager(routes, access_log=logged))], json.loads(json.dumps(clusters))) as proxy:
        for i in range(len(cases)):
            status, body = fetch(f"http://127.0.0.1:{port}/{i}")
            assert status == 503, (i, body)
        lines = wait_until(lambda: len(log.read_text().splitlines()) == len(cases) and log.read_text().splitlines(), what="the log")
        stats, wrong = proxy.stats(), []
        for i, (_, _, reason, text) in enumerate(cases):
            if stats.get(f"cluster.c{i}.ssl.failures.{reason}") != 1 or not lines[i].startswith(f"/{i} 503 UF {text}"):
                wrong.append((reason, text, lines[i], {name: value for name, value in stats.items() if f"c{i}.ssl" in name}))
        assert not wrong, "\n".join(map(str, wrong))
        assert stats["cluster.c3.ssl.fail_verify_san"] == 1 and stats["cluster.c8.ssl.fail_verify_cert_hash"] == 1
    for origin, *_ in cases:
        origin.close()


def test_certificates_and_their_days(tmp_path, keys):
    port = free_port()
    clusters = [cluster(1, transport_socket=upstream(validation=ca(keys.other)))]
    with Proxy(tmp_path, [https(port, downstream(keys.server, validation=ca(keys)))], clusters) as proxy:
        shown = json.loads(proxy.admin("/certs")[1])["certificates"]
        assert len(shown) == 2, shown
        [own], [root] = shown[0]["cert_chain"], shown[0]["ca_cert"]
        assert own["subject_alt_names"] == [{"dns": "a.test"}] and own["days_until_expiration"] == "28", own
        assert root["days_until_expiration"] == "29" and shown[1]["ca_cert"] and not shown[1]["cert_chain"]
        assert "PRIVATE" not in proxy.admin("/certs")[1]


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_a_server_that_refuses_us_late(tmp_path, keys, envoy):
    """With TLS 1.3 the client is done before the server has judged its certificate: the alert comes to a connection in use."""
    log = tmp_path / "access.log"
    text = "%UPSTREAM_CLUSTER% %RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS% %UPSTREAM_TRANSPORT_FAILURE_REASON%\n"
    logged = [typed("envoy.access_loggers.file", "access_loggers.file.v3.FileAccessLog", path=str(log), log_format={"text_format_source": {"inline_string": text}})]
    params = {"tls_maximum_protocol_version": "TLSv1_3"}
    strange, nothing = upstream(keys.stranger, validation=ca(keys), params=params), upstream(validation=ca(keys), params=params)
    web, tcp = {"strange": free_port(), "nothing": free_port()}, {"strange": free_port(), "nothing": free_port()}
    with Origin(keys.client, trust=keys).raw as origin:
        clusters = [cluster(origin.port, name=f"{kind}-{name}", transport_socket=socket_) for kind in ("web", "tcp") for name, socket_ in (("strange", strange), ("nothing", nothing))]
        listeners = [listener(port, http_manager([{"match": {"prefix": "/"}, "route": {"cluster": f"web-{name}"}}], access_log=logged)) for name, port in web.items()]
        listeners += [listener(port, tcp_proxy(f"tcp-{name}", access_log=logged)) for name, port in tcp.items()]
        listeners, clusters = json.loads(json.dumps([listeners, clusters]))
        with Proxy(tmp_path, listeners, clusters, envoy=envoy) as proxy:
            for name in web:
                assert fetch(f"http://127.0.0.1:{web[name]}/")[0] == 503
                with socket.create_connection(("127.0.0.1", tcp[name]), timeout=10) as client:
                    try:
                        client.sendall(b"GET / HTTP/1.1\r\nhost: a\r\n\r\n")
                        assert client.recv(100) == b""
                    except ConnectionResetError:
                        pass
            wait_until(lambda: log.exists() and log.read_text().count("\n") == 4, what="the log")
            stats = proxy.stats()
            # Envoy does not say why.
            said = {"strange": ("alert_received", "peer does not know our issuer"), "nothing": ("alert_received", "peer requires a client certificate")}
            for name, (reason, why) in said.items():
                detail, why = ("", "-") if envoy else ("|" + why.replace(" ", "_"), why)
                lines = log.read_text().splitlines()
                assert f"web-{name} 503 UC upstream_reset_before_response_started{{connection_termination{detail}}} {why}" in lines, lines
                assert f"tcp-{name} 0 - - {why}" in lines, lines
                for kind in ("web", "tcp"):
                    count = {what: stats.get(f"cluster.{kind}-{name}.ssl.{what}", 0) for what in ("handshake", "connection_error", f"failures.{reason}")}
                    assert count == {"handshake": 1, "connection_error": 1, f"failures.{reason}": 0 if envoy else 1}, (kind, name, count)
