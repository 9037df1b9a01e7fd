"""Replies the proxies make themselves, beside Envoy: texts, flags, details, gRPC's form of them, local_reply_config."""
import pytest

from meshes import free_port, wait_until
from pairs import Pair, script
from proxies import cluster, http2_upstream
from raw_http2 import CANCEL, RST_STREAM, Http2, frame, request

CLOSED = free_port()


def header_filter(name, value):
    return {"header_filter": {"header": {"name": name, "string_match": {"exact": value}}}}


def status_filter(status, op="EQ"):
    return {"status_code_filter": {"comparison": {"op": op, "value": {"default_value": status, "runtime_key": "none"}}}}


def text(format_, **fields):
    return {"text_format_source": {"inline_string": format_}, **fields}


ROUTES = [{"match": {"prefix": "/none"}, "route": {"cluster": "missing"}},
          {"match": {"prefix": "/gone"}, "route": {"cluster": "missing", "cluster_not_found_response_code": "NOT_FOUND"}},
          {"match": {"prefix": "/empty"}, "route": {"cluster": "empty"}}, {"match": {"prefix": "/refused"}, "route": {"cluster": "refused"}},
          {"match": {"prefix": "/retried"}, "route": {"cluster": "refused", "retry_policy": {"retry_on": "connect-failure", "num_retries": 2}}},
          {"match": {"prefix": "/full"}, "route": {"cluster": "full"}}, {"match": {"prefix": "/h2"}, "route": {"cluster": "h2"}},
          {"match": {"prefix": "/direct"}, "direct_response": {"status": 418, "body": {"inline_string": "tea pot"}}},
          {"match": {"prefix": "/empty-direct"}, "direct_response": {"status": 204}}, {"match": {"prefix": "/away"}, "redirect": {"path_redirect": "/x"}},
          {"match": {"prefix": "/origin"}, "route": {"cluster": "origin", "timeout": "0.2s"}},
          {"match": {"prefix": "/again"}, "route": {"cluster": "origin", "retry_policy": {"retry_on": "reset,5xx", "num_retries": 1}}}]
HOSTS = {"route_config": {"name": "local", "validate_clusters": False, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": ROUTES}]}}
MAPPERS = [
    {"filter": header_filter("x-map", "status"), "status_code": 499, "headers_to_add": [{"header": {"key": "x-mapped", "value": "%RESPONSE_CODE%"}}]},
    {"filter": header_filter("x-map", "body"), "body": {"inline_string": "instead"}},
    {"filter": header_filter("x-map", "format"), "body_format_override": text("<%LOCAL_REPLY_BODY%:%RESPONSE_CODE%:%RESPONSE_FLAGS%:%REQ(:path)%>", content_type="text/html")},
    {"filter": header_filter("x-map", "json"), "body_format_override": {"json_format": {"code": "%RESPONSE_CODE%", "text": "%LOCAL_REPLY_BODY%", "a": "%REQ(absent)%", "both": "c=%RESPONSE_CODE%"}}},
    {"filter": {"and_filter": {"filters": [header_filter("x-map", "both"), status_filter(503)]}}, "status_code": 500, "body": {"inline_string": "was 503"}},
    {"filter": {"or_filter": {"filters": [header_filter("x-map", "either"), status_filter(418)]}}, "status_code": 419},
    {"filter": {"response_flag_filter": {"flags": ["NR"]}}, "body": {"inline_string": "no such route"},
     "headers_to_add": [{"header": {"key": "content-type", "value": "text/x"}, "append_action": "OVERWRITE_IF_EXISTS_OR_ADD"}]},
]
MANAGERS = {
    "plain": HOSTS, "mapped": {**HOSTS, "local_reply_config": {"mappers": MAPPERS}},
    "formatted": {**HOSTS, "local_reply_config": {"mappers": MAPPERS, "body_format": text("%LOCAL_REPLY_BODY% [%RESPONSE_CODE%]\n")}},
    "json": {**HOSTS, "local_reply_config": {"body_format": {"json_format": {"message": "%LOCAL_REPLY_BODY%", "status": "%RESPONSE_CODE%"}}}},
    "only-format": {**HOSTS, "local_reply_config": {"body_format": text("%RESPONSE_CODE_DETAILS%", content_type="text/html; charset=UTF-8")}},
}
THRESHOLD = {"circuit_breakers": {"thresholds": [{"max_connections": 0, "max_pending_requests": 0, "max_requests": 0}]}}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    empty = {"name": "empty", "type": "STATIC", "connect_timeout": "1s", "load_assignment": {"cluster_name": "empty"}}
    clusters = [empty, cluster(CLOSED, "refused")]
    with Pair(tmp_path_factory.mktemp("replies"), MANAGERS, lambda port: [
            *clusters, cluster(port, "full", **THRESHOLD), cluster(port, "h2", typed_extension_protocol_options=http2_upstream())]) as pair:
        yield pair


def ask(path, *lines, method="GET"):
    return f"{method} {path} HTTP/1.1\r\nhost: a\r\nx-case: ?\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n"


GRPC = ("content-type: application/grpc", "te: trailers")
PATHS = ["/none", "/gone", "/empty", "/refused", "/retried", "/full", "/direct", "/empty-direct", "/away", "/nowhere"]


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("name", MANAGERS)
def test_own_replies(pair, name, path):
    pair.assert_same(name, ask(path), logs=True)
    pair.assert_same(name, ask(path, method="HEAD"), logs=True)
    pair.assert_same(name, ask(path, *GRPC, method="POST"), logs=True)
    if name in ("mapped", "formatted"):
        for map_ in ("status", "body", "format", "json", "both", "either", "other"):
            pair.assert_same(name, ask(path, f"x-map: {map_}"), logs=True)


HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab"
BROKEN = {
    "closed": ("close",), "cut in the head": (b"HTTP/1.1 200 O", "close"), "cut in the body": (HEAD, "close"), "no HTTP": (b"220 hello\r\n\r\n", "stall"),
    "stalls": ("stall",), "bad chunk": (b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n", "stall"), "both lengths": (b"HTTP/1.1 200 OK\r\ncontent-length: 3\r\ntransfer-encoding: chunked\r\n\r\n", "stall"),
    "no status": (b"HTTP/1.1 OK\r\n\r\n", "stall"),
    "interim": (b"HTTP/1.1 103 Early Hints\r\n\r\n", b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"),
    "many fields": (b"HTTP/1.1 200 OK\r\n" + b"x: 1\r\n" * 101 + b"content-length: 0\r\n\r\n", "stall"), "large head": (b"HTTP/1.1 200 OK\r\nx: " + b"a" * 70000 + b"\r\ncontent-length: 0\r\n\r\n", "stall"),
}


@pytest.mark.parametrize("case", BROKEN)
@pytest.mark.parametrize("path", ["/origin", "/again"])
def test_broken_answers(pair, path, case):
    if path == "/again" and "stall" in BROKEN[case]:
        pytest.skip("that route has no short timeout")
    pair.assert_same("plain", ask(path, script(*BROKEN[case]).strip()), logs=True, until_close=True)


def test_a_switch_that_nobody_asked_for(pair):
    """Envoy passes it on and reads a tunnel from then on; nobody would know whose bytes those are."""
    answer = script(b"HTTP/1.1 101 Switching Protocols\r\nupgrade: x\r\nconnection: upgrade\r\n\r\n", "stall").strip()
    ours = pair.ours.ask("plain", ask("/origin", answer), logs=True)
    assert (ours.status, ours.log) == (502, "502|UPE|upstream_reset_before_response_started{protocol_error}")


def test_the_client_goes(pair):
    for side in pair.sides:
        side.cases += 1
        case = f"gone-{side.name}"
        with side.connect("plain") as client:
            client.sendall(ask("/again", script("stall").strip()).replace("x-case: ?", f"x-case: {case}").encode())
            wait_until(lambda: any(fields.get("x-case") == case for fields in pair.arrived), what="the request to arrive")
        assert side.logged(case, len(side.log_lines("-|"))) == "0|DC|downstream_remote_disconnect", side.name


def test_the_client_resets(pair):
    for side in pair.sides:
        case = f"reset-{side.name}"
        with Http2(side.ports["plain"]) as client:
            steps = script("stall").split(": ")[1].strip().encode()
            client.headers(1, request(b"/again", (b"x-case", case.encode()), (b"x-script", steps)))
            wait_until(lambda: any(fields.get("x-case") == case for fields in pair.arrived), what="the request to arrive")
            client.send(frame(RST_STREAM, 0, 1, CANCEL.to_bytes(4, "big")))
            client.ping()
            log = side.logged(case, len(side.log_lines("-|")))
        assert log == "0|DR|http2.remote_reset", (side.name, log)


@pytest.mark.parametrize("path", ["/none", "/refused", "/direct", "/nowhere", "/away"])
def test_over_http2(pair, path):
    outcomes = []
    for side in pair.sides:
        with Http2(side.ports["plain"]) as client:
            outcomes.append([client.get(1, path.encode()), client.get(3, path.encode(), (b"content-type", b"application/grpc"), method=b"POST")[0]])
    assert outcomes[0] == outcomes[1]
