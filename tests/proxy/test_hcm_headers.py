"""What is believed of a request's headers, and which are added, beside Envoy: x-forwarded-*, internal or external, x-request-id, server, via,
hop-by-hop fields, names with underscores, limits."""
import itertools
import re

import pytest

from pairs import Pair, script

CIDRS = {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}, {"address_prefix": "127.0.0.0", "prefix_len": 8},
                         {"address_prefix": "fd00::", "prefix_len": 8}]}
FAR = {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}


def xff(**fields):
    return {"name": "envoy.http.original_ip_detection.xff", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.http.original_ip_detection.xff.v3.XffConfig", **fields}}


def trusted(*prefixes, **fields):
    cidrs = [{"address_prefix": prefix.split("/")[0], "prefix_len": int(prefix.split("/")[1])} for prefix in prefixes]
    return xff(xff_trusted_cidrs={"cidrs": cidrs}, **fields)


CLIENTS = {
    "sidecar": {}, "sidecar-hops": {"xff_num_trusted_hops": 1}, "sidecar-internal": {"internal_address_config": CIDRS},
    "edge": {"use_remote_address": True}, "edge-hops": {"use_remote_address": True, "xff_num_trusted_hops": 1},
    "edge-2-hops": {"use_remote_address": True, "xff_num_trusted_hops": 2},
    "edge-internal": {"use_remote_address": True, "internal_address_config": CIDRS},
    "edge-far": {"use_remote_address": True, "internal_address_config": FAR, "xff_num_trusted_hops": 1},
    "edge-no-append": {"use_remote_address": True, "skip_xff_append": True},
    "sidecar-no-append": {"skip_xff_append": True},
    "edge-port": {"use_remote_address": True, "append_x_forwarded_port": True}, "sidecar-port": {"append_x_forwarded_port": True},
    "edge-hops-port": {"use_remote_address": True, "append_x_forwarded_port": True, "xff_num_trusted_hops": 1},
    "xff-0": {"original_ip_detection_extensions": [xff()]}, "xff-1": {"original_ip_detection_extensions": [xff(xff_num_trusted_hops=1)]},
    "xff-skip": {"original_ip_detection_extensions": [xff(skip_xff_append=True)]},
    "cidrs": {"original_ip_detection_extensions": [trusted("127.0.0.0/8", "10.0.0.0/8")]},
    "cidrs-append": {"original_ip_detection_extensions": [trusted("127.0.0.0/8", "10.0.0.0/8", skip_xff_append=False)]},
    "cidrs-far": {"original_ip_detection_extensions": [trusted("10.0.0.0/8", skip_xff_append=False)]},
}
IDS = {
    "id": {}, "id-off": {"generate_request_id": False}, "id-edge": {"use_remote_address": True},
    "id-edge-kept": {"use_remote_address": True, "preserve_external_request_id": True}, "id-echo": {"always_set_request_id_in_response": True},
    "id-no-reason": {"request_id_extension": {"typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig", "pack_trace_reason": False}}},
}
OTHERS = {
    "server": {"server_name": "istio-envoy"}, "server-absent": {"server_name": "mine", "server_header_transformation": "APPEND_IF_ABSENT"},
    "server-pass": {"server_header_transformation": "PASS_THROUGH"}, "via": {"via": "mesh"},
    "allow": {}, "reject": {"common_http_protocol_options": {"headers_with_underscores_action": "REJECT_REQUEST"}},
    "drop": {"common_http_protocol_options": {"headers_with_underscores_action": "DROP_HEADER"}},
    "few": {"common_http_protocol_options": {"max_headers_count": 8}}, "small": {"max_request_headers_kb": 2},
    "scheme": {"scheme_header_transformation": {"scheme_to_overwrite": "https"}},
    "twice": {"common_http_protocol_options": {"max_requests_per_connection": 2}},
    "plain": {}, "no-envoy-headers": {"http_filters": [{"name": "envoy.filters.http.router", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.http.router.v3.Router", "suppress_envoy_headers": True}}]},
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    with Pair(tmp_path_factory.mktemp("headers"), {**CLIENTS, **IDS, **OTHERS}) as pair:
        yield pair


def get(*lines, path="/"):
    return f"GET {path} HTTP/1.1\r\nhost: a\r\n" + "".join(f"{line}\r\n" for line in lines) + "\r\n"


LISTS = [(), ("x-forwarded-for: 10.0.0.1",), ("x-forwarded-for: 8.8.8.8",), ("x-forwarded-for: 8.8.8.8, 10.0.0.2",), ("x-forwarded-for: 1.1.1.1,2.2.2.2,3.3.3.3",),
         ("x-forwarded-for: 9.9.9.9, 8.8.8.8, 10.0.0.2",), ("x-forwarded-for: 1.1.1.1", "x-forwarded-for: 10.0.0.2"), ("x-forwarded-for: nonsense",), ("x-forwarded-for: ",),
         ("x-forwarded-for: 10.0.0.1,",), ("x-forwarded-for: fd00::1",), ("x-forwarded-for: [fd00::1]:80",), ("x-forwarded-for: 10.0.0.1:80",), ("x-forwarded-for: ::ffff:10.0.0.1",),
         ("x-forwarded-for: 8.8.8.8, 10.0.0.1, 10.0.0.2, 127.0.0.1",)]
SPOOFED = ["x-envoy-internal: true", "x-envoy-external-address: 6.6.6.6", "x-envoy-retry-on: 5xx", "x-envoy-max-retries: 3", "x-envoy-upstream-rq-timeout-ms: 7000",
           "x-envoy-upstream-rq-per-try-timeout-ms: 9", "x-envoy-expected-rq-timeout-ms: 5", "x-envoy-force-trace: 1", "x-envoy-ip-tags: a", "x-envoy-decorator-operation: a",
           "x-envoy-downstream-service-cluster: a", "x-envoy-downstream-service-node: a", "x-envoy-original-path: /o", "x-envoy-original-host: o", "x-envoy-attempt-count: 9",
           "x-envoy-hedge-on-per-try-timeout: true", "x-envoy-retry-grpc-on: cancelled", "x-envoy-retriable-status-codes: 500", "x-envoy-retriable-header-names: x",
           "x-envoy-original-url: u", "x-envoy-upstream-alt-stat-name: x", "x-envoy-upstream-rq-timeout-alt-response: 1", "x-envoy-upstream-stream-duration-ms: 3",
           "x-envoy-overloaded: true", "x-envoy-peer-metadata: m", "x-envoy-immediate-health-check-fail: 1", "x-envoy-upstream-service-time: 5",
           "x-envoy-upstream-healthchecked-cluster: x", "x-envoy-degraded: 1", "x-envoy-ratelimited: 1", "x-envoy-is-timeout-retry: 1"]
PROTOS = [(), ("x-forwarded-proto: https",), ("x-forwarded-proto: http",), ("x-forwarded-proto: ftp",), ("x-forwarded-proto: HTTPS",),
          ("x-forwarded-port: 99",), ("x-forwarded-host: h",), ("x-forwarded-proto: https", "x-forwarded-port: 99"), ("x-forwarded-proto: https", "x-forwarded-proto: http")]


@pytest.mark.parametrize("name", CLIENTS)
def test_who_the_client_is(pair, name):
    for lines in LISTS:
        pair.assert_same(name, get(*lines))
    for lines in PROTOS:
        pair.assert_same(name, get(*lines))


@pytest.mark.parametrize("name", ["sidecar", "sidecar-internal", "edge", "edge-internal", "edge-far"])
@pytest.mark.parametrize("client", ["", "x-forwarded-for: 10.1.1.1", "x-forwarded-for: 8.8.8.8"])
def test_control_headers(pair, name, client):
    for line in SPOOFED:
        pair.assert_same(name, get(*filter(None, [client, line])))


UUID = "0a1b2c3d-4e5f-4a6b-8c9d-0e1f2a3b4c5d"


@pytest.mark.parametrize("name", IDS)
def test_request_ids(pair, name):
    for lines in [(), ("x-request-id: abc",), (f"x-request-id: {UUID}",), (f"x-request-id: {UUID[:14]}9{UUID[15:]}",), ("x-request-id: ",),
                  (f"x-request-id: {UUID}", "x-envoy-force-trace: 1"), (f"x-request-id: {UUID}", "x-client-trace-id: c")]:
        ours, theirs = pair.both(name, get(*lines))

        def ids(outcome):
            received = outcome.received("x-request-id")
            sent = any(id in line for line in lines for id in received if id)
            return [id if sent else re.sub("[0-9a-f]", "h", id)[:14] + id[14:15] for id in received], sent, outcome.get("x-request-id") is not None
        assert ids(ours) == ids(theirs), (name, lines, ours.origin, theirs.origin)


ANSWERS = [b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n", b"HTTP/1.1 200 OK\r\nserver: theirs\r\ndate: Mon, 01 Jan 2024 00:00:00 GMT\r\nvia: 1.1 x\r\ncontent-length: 0\r\n\r\n",
           b"HTTP/1.1 200 OK\r\nconnection: keep-alive\r\nx-a: 1\r\nkeep-alive: timeout=5\r\nproxy-connection: close\r\ncontent-length: 0\r\n\r\n",
           b"HTTP/1.1 200 OK\r\nx-envoy-upstream-service-time: 5\r\nx-envoy-degraded: 1\r\nx-request-id: other\r\nx-envoy-overloaded: 1\r\ncontent-length: 0\r\n\r\n",
           b"HTTP/1.1 204 No Content\r\n\r\n", b"HTTP/1.1 304 Not Modified\r\ncontent-length: 5\r\netag: x\r\n\r\n",
           b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", b"HTTP/1.1 200 OK\r\nserver: \r\nUpper-Case: V\r\ncontent-length: 0\r\n\r\n",
           b"HTTP/1.1 404 Not Found\r\ntrailer: x\r\nupgrade: h2c\r\nte: trailers\r\ncontent-length: 0\r\n\r\n"]


@pytest.mark.parametrize("name", ["server", "server-absent", "server-pass", "via", "no-envoy-headers", "id-echo"])
def test_response_headers(pair, name):
    for answer in ANSWERS:
        pair.assert_same(name, f"GET / HTTP/1.1\r\nhost: a\r\n{script(answer)}\r\n")
    pair.assert_same(name, get("via: 1.0 first"))
    pair.assert_same(name, get("via: 1.0 first", "via: 1.1 second", path="/x"))


HOP_BY_HOP = [("connection: keep-alive", "keep-alive: 5"), ("connection: x-a", "x-a: 1", "x-b: 2"), ("connection: close, x-a", "x-a: 1"), ("te: trailers",), ("te: gzip",),
              ("te: trailers, deflate",), ("connection: te", "te: trailers"), ("connection: te", "te: gzip"), ("proxy-connection: keep-alive",), ("upgrade: h2c", "connection: upgrade, http2-settings", "http2-settings: AAA"),
              ("connection: upgrade", "upgrade: h2c"), ("upgrade: foo",), ("trailer: x",), ("proxy-authorization: b", "proxy-authenticate: c"),
              ("connection: x-forwarded-for", "x-forwarded-for: 1.1.1.1"), ("connection: x-forwarded-proto",), ("connection: authorization", "authorization: a"),
              ("connection: X-A", "X-a: 1"), ("connection: ,", "x-a: 1"), ("keep-alive: 5",), ("expect: 100-continue",), ("connection: :path",), ("connection: cookie", "cookie: a=b"),
              ("cookie: a=b", "cookie: c=d"), ("accept: a", "accept: b"), ("x-empty:",), ("x-tab: \ta\t",), ("x-latin: caf\xe9",), ("connection: content-length",)]


@pytest.mark.parametrize("lines", HOP_BY_HOP)
def test_hop_by_hop(pair, lines):
    pair.assert_same("plain", get(*lines))


def test_nominated_fields_that_differ(pair):
    """A response's nominated fields go, as RFC 9110 §7.6.1 asks, though Envoy lets them pass; a Host is never one."""
    answer = script(b"HTTP/1.1 200 OK\r\nconnection: x-a\r\nx-a: 1\r\ncontent-length: 0\r\n\r\n")
    ours, theirs = pair.both("plain", f"GET / HTTP/1.1\r\nhost: a\r\n{answer}\r\n")
    assert (ours.get("x-a"), theirs.get("x-a")) == (None, "1")
    assert [outcome.status for outcome in pair.both("plain", get("connection: host"))] == [400, 400]


@pytest.mark.parametrize("name, lines", itertools.product(["allow", "reject", "drop"], [(), ("x_a: 1",), ("_: 1", "x-b: 2"), ("x-a: 1_2",)]))
def test_underscores(pair, name, lines):
    pair.assert_same(name, get(*lines, "x-case: ?"), logs=True)


@pytest.mark.parametrize("name, lines", [("few", [f"x-{n}: 1" for n in range(6)]), ("few", [f"x-{n}: 1" for n in range(9)]), ("few", [f"x-{n}: 1" for n in range(20)]),
                                         ("small", ["x-a: " + "a" * 1000]), ("small", ["x-a: " + "a" * 3000]), ("small", ["x-a: " + "a" * 9000]), ("plain", ["x-a: " + "a" * 59000]),
                                         ("plain", ["x-a: " + "a" * 70000]), ("plain", [f"x-{n}: 1" for n in range(98)]), ("plain", [f"x-{n}: 1" for n in range(101)])])
def test_limits(pair, name, lines):
    pair.assert_same(name, get(*lines))


def test_requests_per_connection(pair):
    for side in pair.sides:
        with side.connect("twice") as connection:
            answer = b""
            connection.sendall(get(path="/1").encode() + get(path="/2").encode() + get(path="/3").encode())
            while more := connection.recv(65536):
                answer += more
            assert answer.count(b"HTTP/1.1 200") == 2 and answer.count(b"connection: close") == 1, (side.name, answer)
