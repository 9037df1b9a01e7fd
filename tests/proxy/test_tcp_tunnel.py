"""TCP inside HTTP (tunneling_config), under meltemi-proxy and under Envoy: what is asked of the proxy behind, which answers open a
tunnel, tries, ends, log lines; both as client and as server of a tunnel over HTTP/2."""
import hashlib
import json
import random
import socket
import threading

import pytest

from meshes import free_port, wait_until
from pairs import parse_head, read_head
from proxies import Proxy, RawOrigin, cluster, file_log, http2_upstream, http_manager, listener, refusal, talk, tcp_proxy
from test_tcp_proxy import connect, echo, is_reset, reset

FORMAT = "%RESPONSE_FLAGS% %UPSTREAM_CLUSTER% %BYTES_RECEIVED% %BYTES_SENT% %UPSTREAM_HOST% %UPSTREAM_REQUEST_ATTEMPT_COUNT% %RESPONSE_CODE% %ACCESS_LOG_TYPE%"
HEADERS = [{"header": {"key": "X-Fixed", "value": "one"}}, {"header": {"key": "x-from", "value": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%"}},
           {"header": {"key": "x-fixed", "value": "two"}, "append_action": "APPEND_IF_EXISTS_OR_ADD"}]
OK = b"HTTP/1.1 200 OK\r\n"
CHUNKED = OK + b"transfer-encoding: chunked\r\n\r\n"


class Server(RawOrigin):
    """A proxy of HTTP/1.1: what is done is named by the first label of the host asked for. Keeps the heads."""

    def __init__(self):
        self.asked, self.lock = [], threading.Lock()
        super().__init__(self.answer)

    def answer(self, connection):
        head, rest = read_head(connection)
        line, fields = parse_head(head)
        with self.lock:
            self.asked.append((line, [list(field) for field in fields]))
            count = sum(line == other for other, _ in self.asked)
        what = line.split()[1].split(".")[0] if line.startswith("CONNECT") else "chunked"
        if what == "refuse" or (what == "later" and count < 3):
            connection.sendall(b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 0\r\n\r\n")
        elif what == "close":
            pass
        elif what == "created":
            connection.sendall(b"HTTP/1.1 201 Created\r\ncontent-length: 5\r\nx-a: b\r\n\r\n")
            echo(connection)
        elif what == "first":  # speaks before it is spoken to, in the same segment
            connection.sendall(OK + b"\r\nhello")
            echo(connection)
        elif what == "reset":
            connection.sendall(OK + b"\r\n")
            connection.recv(1)
            reset(connection)
        elif what == "silent":
            connection.recv(1)
        elif what == "chunked":  # what comes in chunks goes back in the same
            connection.sendall(CHUNKED + rest)
            while not rest.endswith(b"0\r\n\r\n") and (more := connection.recv(65536)):
                rest += more
                connection.sendall(more)
        else:
            connection.sendall(OK + b"\r\n")
            echo(connection)


def tunnel(name, log, target="origin", host=None, text=FORMAT, proxy_fields=None, **fields):
    config = {"hostname": host or f"{name}.test:80", **fields}
    return tcp_proxy(target, stat_prefix=name, tunneling_config=config, access_log=[file_log(log, f"{name} {text}")], **(proxy_fields or {}))


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_over_http1(tmp_path, envoy):
    log = tmp_path / "log"
    names = ["plain", "address", "post", "path", "refuse", "later", "close", "created", "first", "reset", "silent", "dead", "nowhere", "nobody"]
    ports = {name: free_port() for name in names}
    dead = free_port()
    tries = {"max_connect_attempts": 3}
    answer = "%FILTER_STATE(envoy.tcp_proxy.propagate_response_headers:TYPED)% " + FORMAT
    filters = {
        "plain": tunnel("plain", log, headers_to_add=HEADERS), "address": tunnel("address", log, host="%DOWNSTREAM_LOCAL_ADDRESS%"),
        "post": tunnel("post", log, use_post=True, headers_to_add=HEADERS), "path": tunnel("path", log, use_post=True, post_path="/a/b?c"),
        "refuse": tunnel("refuse", log, proxy_fields=tries), "later": tunnel("later", log, proxy_fields=tries), "close": tunnel("close", log),
        "created": tunnel("created", log, text=answer, propagate_response_headers=True), "first": tunnel("first", log), "reset": tunnel("reset", log),
        "silent": tunnel("silent", log, proxy_fields={"idle_timeout": "0.3s"}), "dead": tunnel("dead", log, "dead"), "nowhere": tunnel("nowhere", log, "missing"),
        "nobody": tunnel("nobody", log, "empty")}
    with Server() as server, Proxy(
            tmp_path, [listener(ports[name], filters[name], name=name) for name in names],
            [cluster(server.port), cluster(dead, "dead"), {"name": "empty", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": "empty"}}],
            envoy=envoy) as proxy:
        sent = random.Random(3).randbytes(300_000)
        for name in ("plain", "address", "created", "later", "post", "path"):
            with connect(ports[name]) as client:
                client.sendall(sent)
                got = b""
                while len(got) < len(sent) and (more := client.recv(1 << 20)):
                    got += more
                assert got == sent, (name, len(got), proxy.log()[-1000:])
        with connect(ports["first"]) as client:
            assert client.recv(5) == b"hello"
        for name in ("refuse", "close", "silent", "dead", "nowhere", "nobody"):
            with connect(ports[name]) as client:
                client.sendall(b"lost")
                is_reset(client)
        with connect(ports["reset"]) as client:
            client.sendall(b"x")
            is_reset(client)
        names_logged = lambda: [line.split()[0] for line in log.read_text().splitlines()] if log.exists() else []
        wait_until(lambda: set(names_logged()) == set(names), what="the log")
        lines = {}
        for line in log.read_text().splitlines():
            name, _, rest = line.partition(" ")
            lines[name] = rest.replace(f"127.0.0.1:{server.port}", "SERVER").replace(f"127.0.0.1:{dead}", "DEAD")
        end = "0 TcpConnectionEnd"
        kept = json.dumps({"headers": [{"key": ":status", "value": "201"}, {"key": "content-length", "value": "5"}, {"key": "x-a", "value": "b"}]}, separators=(",", ":"))
        passed = f"origin 300000 300000 SERVER 1 {end}"
        assert lines == {
            **{name: f"- {passed}" for name in ("plain", "address", "post", "path")}, "created": f"{kept} - {passed}", "later": f"UF origin 300000 300000 SERVER 3 {end}",
            "first": f"- origin 0 5 SERVER 1 {end}", "refuse": f"UF,URX origin 0 0 SERVER 3 {end}", "close": f"UF,URX origin 0 0 SERVER 1 {end}",
            "silent": f"UF origin 0 0 SERVER 1 {end}", "dead": f"UF,URX dead 0 0 DEAD 1 {end}", "nowhere": f"NC - 0 0 - 0 {end}", "nobody": f"UH empty 0 0 - 0 {end}",
            "reset": f"- origin 1 0 SERVER 1 {end}"}
        added = [["x-fixed", "one"], ["x-from", "127.0.0.1"], ["x-fixed", "two"]]
        chunked = [["transfer-encoding", "chunked"]]
        plain = lambda host, *fields: (f"CONNECT {host} HTTP/1.1", [["host", host], *fields])
        hosts = {name: f"{name}.test:80" for name in names}
        assert sorted(server.asked) == sorted([
            plain(hosts["plain"], *added), plain(f"127.0.0.1:{ports['address']}"), *[plain(hosts[name]) for name in ("created", "first", "close", "silent", "reset")],
            *[plain(hosts[name]) for name in ("later", "refuse") for _ in range(3)],
            ("POST / HTTP/1.1", [["host", hosts["post"]], *added, *chunked]), ("POST /a/b?c HTTP/1.1", [["host", hosts["path"]], *chunked])])


def far_manager(log, **fields):
    """A proxy that ends CONNECT at the cluster `origin` and forwards the rest to `http`."""
    routes = [{"match": {"connect_matcher": {}}, "route": {"cluster": "origin", "upgrade_configs": [{"upgrade_type": "CONNECT", "connect_config": {}}]}},
              {"match": {"prefix": "/"}, "route": {"cluster": "http"}}]
    text = "%REQ(:METHOD)% %REQ(:AUTHORITY)% %REQ(:PATH)% %PROTOCOL% %REQ(X-FIXED)% %REQ(X-FROM)% %REQ(USER-AGENT)% %RESPONSE_CODE%"
    return http_manager(routes, http2_protocol_options={"allow_connect": True}, access_log=[file_log(log, text)], **fields)


@pytest.mark.parametrize("order", ["meltemi-envoy", "envoy-meltemi", "meltemi-meltemi"])
def test_over_http2(tmp_path, order):
    """Large transfers both ways at once, many tunnels over one connection, half-closes, ends by a reset."""
    near_log, far_log = tmp_path / "near", tmp_path / "far"
    ports, far = {name: free_port() for name in ("connect", "post")}, free_port()
    up, down = random.Random(1).randbytes(2_000_000), random.Random(2).randbytes(2_000_000)

    def serve(connection):
        order = connection.recv(1)
        if order == b"r":
            return reset(connection)
        sender = threading.Thread(target=lambda: connection.sendall(down))
        sender.start()
        digest = hashlib.sha256()
        while more := connection.recv(1 << 18):
            digest.update(more)
        sender.join()
        connection.sendall(b"end")  # the client has ended its half by now
        return digest.hexdigest()
    first, second = (name == "envoy" for name in order.split("-"))
    h2 = {"typed_extension_protocol_options": http2_upstream()}
    with RawOrigin(serve) as origin, Server() as http, \
            Proxy(tmp_path, [listener(far, far_manager(far_log))], [cluster(origin.port), cluster(http.port, "http")], envoy=second), \
            Proxy(tmp_path, [listener(ports["connect"], tunnel("connect", near_log, headers_to_add=HEADERS)),
                             listener(ports["post"], tunnel("post", near_log, use_post=True, headers_to_add=HEADERS))],
                  [cluster(far, **h2)], envoy=first):
        def one():
            with connect(ports["connect"]) as client:
                client.settimeout(30)
                sender = threading.Thread(target=lambda: (client.sendall(b"g" + up), client.shutdown(socket.SHUT_WR)))
                sender.start()
                digest = hashlib.sha256()
                while more := client.recv(1 << 18):
                    digest.update(more)
                sender.join()
                got.append(digest.hexdigest())
        got, threads = [], [threading.Thread(target=one) for _ in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        assert got == [hashlib.sha256(down + b"end").hexdigest()] * 8
        wait_until(lambda: origin.results == [hashlib.sha256(up).hexdigest()] * 8, what="the origin")
        with connect(ports["connect"]) as client:
            client.sendall(b"r")
            is_reset(client)
        assert talk(ports["post"], b"abc") == b"abc"
        wait_until(lambda: far_log.exists() and far_log.read_text().count("\n") == 10 and near_log.read_text().count("\n") == 10, what="the logs")
        assert sorted(far_log.read_text().splitlines()) == ["CONNECT connect.test:80 - HTTP/2 one 127.0.0.1 - 200"] * 9 + ["POST post.test:80 / HTTP/2 one 127.0.0.1 - 200"]
        end = f"127.0.0.1:{far} 1 0 TcpConnectionEnd"
        flag = "UR" if first else "-"  # ours as a server passes a reset on as one; Envoy's ends the stream
        assert sorted(near_log.read_text().splitlines()) == sorted([f"connect {flag} origin 1 0 {end}"] + [f"connect - origin 2000001 2000003 {end}"] * 8 + [f"post - origin 3 3 {end}"])


@pytest.mark.parametrize("fields, named", [
    ({"hostname": ""}, "tunneling_config.hostname"), ({"hostname": "%NO_SUCH%"}, "tcp_proxy.tunneling_config: hostname"),
    ({"hostname": "%FILTER_STATE(a)%"}, "tcp_proxy.tunneling_config: hostname"), ({"hostname": "a:1", "post_path": "/a"}, "tcp_proxy.tunneling_config: post_path"),
    ({"hostname": "a:1", "headers_to_add": [{"header": {"key": ":path", "value": "/"}}]}, "tcp_proxy.tunneling_config: headers_to_add[0]"),
    ({"hostname": "a:1", "headers_to_add": [{"header": {"key": "Host", "value": "b"}}]}, "tcp_proxy.tunneling_config: headers_to_add[0]"),
    ({"hostname": "a:1", "request_id_extension": {"typed_config": {"@type": "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig"}}},
     "tcp_proxy.tunneling_config: request_id_extension"),
])
def test_what_cannot_be_done_is_refused(tmp_path, fields, named):
    said = refusal(tmp_path, [listener(free_port(), tcp_proxy(tunneling_config=fields))], [cluster(1)])
    assert named in said or named.replace("tunneling_config.", "tcp_proxy.tunneling_config: ") in said, said
