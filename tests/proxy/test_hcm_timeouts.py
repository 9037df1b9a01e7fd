"""Every timeout of a request, beside Envoy: status, headers, body, flags and details. All are short here; none is checked to be short."""
import pytest

from pairs import Pair, script
from proxies import typed

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"
HEAD = b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\nab"
INTERNAL = {"internal_address_config": {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 8}]}}


def route(**fields):
    return {"route_config": {"name": "local", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
        {"match": {"prefix": "/"}, "route": {"cluster": "origin", **fields}}]}]}}


STRICT = ["x-envoy-upstream-rq-timeout-ms", "x-envoy-upstream-rq-per-try-timeout-ms", "x-envoy-max-retries", "x-envoy-retry-on", "x-envoy-retry-grpc-on"]
MANAGERS = {
    "route": route(timeout="0.2s"), "off": route(timeout="0s"), "none": route(),
    "per-try": route(timeout="1s", retry_policy={"per_try_timeout": "0.2s", "num_retries": 1}),
    "per-try-retried": route(timeout="10s", retry_policy={"retry_on": "5xx", "per_try_timeout": "0.2s", "num_retries": 1}),
    "per-try-long": route(timeout="0.3s", retry_policy={"per_try_timeout": "9s"}),
    "try-idle": route(timeout="0s", retry_policy={"per_try_idle_timeout": "0.2s"}),
    "try-idle-retried": route(timeout="0s", retry_policy={"retry_on": "5xx", "per_try_idle_timeout": "0.2s", "num_retries": 1}),
    "idle": {**route(timeout="0s"), "stream_idle_timeout": "0.2s"}, "idle-off": {**route(timeout="0.4s"), "stream_idle_timeout": "0s"},
    "route-idle": {**route(timeout="0s", idle_timeout="0.2s"), "stream_idle_timeout": "20s"},
    "route-idle-off": {**route(timeout="0.4s", idle_timeout="0s"), "stream_idle_timeout": "0.1s"},
    "duration": {**route(timeout="0s"), "common_http_protocol_options": {"max_stream_duration": "0.3s"}},
    "route-duration": {**route(timeout="0s", max_stream_duration={"max_stream_duration": "0.3s"}), "common_http_protocol_options": {"max_stream_duration": "20s"}},
    "route-duration-off": {**route(timeout="0.5s", max_stream_duration={"max_stream_duration": "0s"}), "common_http_protocol_options": {"max_stream_duration": "0.1s"}},
    "request": {**route(timeout="0s"), "request_timeout": "0.2s"}, "headers": {**route(), "request_headers_timeout": "0.2s"},
    "grpc-max": route(timeout="9s", max_grpc_timeout="0.5s"), "grpc-free": route(timeout="9s", max_grpc_timeout="0s"),
    "grpc-offset": route(timeout="9s", max_grpc_timeout="0s", grpc_timeout_offset="0.1s"),
    "grpc-header": route(timeout="9s", max_stream_duration={"grpc_timeout_header_max": "0.5s"}),
    "grpc-header-free": route(timeout="9s", max_stream_duration={"grpc_timeout_header_max": "0s"}),
    "grpc-header-offset": route(timeout="9s", max_stream_duration={"max_stream_duration": "30s", "grpc_timeout_header_max": "5s", "grpc_timeout_header_offset": "0.1s"}),
    "strict": {**INTERNAL, **route(timeout="9s"), "http_filters": [typed("envoy.filters.http.router", "filters.http.router.v3.Router", strict_check_headers=STRICT)]},
    "internal": {**INTERNAL, **route(timeout="9s")}, "internal-off": {**INTERNAL, **route(timeout="0s")},
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    with Pair(tmp_path_factory.mktemp("timeouts"), MANAGERS) as pair:
        yield pair


def ask(*lines, method="GET", body="", tail=""):
    return f"{method} / HTTP/1.1\r\nhost: a\r\nx-case: ?\r\n" + "".join(lines) + body + "\r\n" + tail


STALL, LATE, PARTIAL = script("stall"), script("0.6", OK), script(HEAD, "stall")
GRPC = "content-type: application/grpc\r\nte: trailers\r\n"
HALF = ("content-length: 5\r\n",)
CASES = [("route", ask(STALL)), ("route", ask(PARTIAL)), ("route", ask(script(OK))), ("off", ask(LATE)), ("none", ask(script(OK))),
         ("route", ask(GRPC, STALL, method="POST")), ("route", ask(STALL, method="HEAD")),
         ("per-try", ask(STALL)), ("per-try", ask(PARTIAL)), ("per-try-retried", ask(STALL)), ("per-try-long", ask(STALL)), ("per-try", ask(GRPC, STALL)),
         ("try-idle", ask(STALL)), ("try-idle", ask(PARTIAL)), ("try-idle-retried", ask(STALL)),
         ("idle", ask(STALL)), ("idle", ask(PARTIAL)), ("idle", ask(*HALF, method="POST", tail="ab")), ("idle-off", ask(STALL)), ("idle", ask(GRPC, STALL)),
         ("route-idle", ask(STALL)), ("route-idle", ask(PARTIAL)), ("route-idle-off", ask(STALL)), ("route-idle", ask(*HALF, method="POST", tail="ab")),
         ("duration", ask(STALL)), ("duration", ask(PARTIAL)), ("duration", ask(*HALF, method="POST", tail="ab")), ("duration", ask(GRPC, STALL)),
         ("route-duration", ask(STALL)), ("route-duration", ask(PARTIAL)), ("route-duration-off", ask(LATE)),
         ("request", ask(*HALF, method="POST", tail="ab")), ("request", ask(LATE)),
         ("headers", "GET / HTTP/1.1\r\nhost: a\r\nx-ca")]
GRPC_CASES = [(name, timeout) for name in MANAGERS if name.startswith("grpc") for timeout in ("", "100m", "2S", "99999999S", "1x", "100000000m", "0m", "150000u")]
HEADERS = ["x-envoy-upstream-rq-timeout-ms: 200", "x-envoy-upstream-rq-timeout-ms: 0", "x-envoy-upstream-rq-timeout-ms: x", "x-envoy-upstream-rq-per-try-timeout-ms: 200",
           "x-envoy-upstream-rq-timeout-ms: 200\r\nx-envoy-upstream-rq-timeout-alt-response: 1", "x-envoy-upstream-rq-timeout-ms: 300\r\nx-envoy-upstream-rq-per-try-timeout-ms: 900",
           "x-envoy-upstream-rq-per-try-timeout-ms: 200\r\nx-envoy-retry-on: 5xx", "x-envoy-upstream-rq-per-try-timeout-ms: 200\r\nx-envoy-retry-on: 5xx\r\nx-envoy-max-retries: 2"]


@pytest.mark.parametrize("name, raw", CASES)
def test_timeouts(pair, name, raw):
    pair.assert_same(name, raw, logs=True)


@pytest.mark.parametrize("name, timeout", GRPC_CASES)
def test_grpc_timeouts(pair, name, timeout):
    line = f"grpc-timeout: {timeout}\r\n" if timeout else ""
    pair.assert_same(name, ask(GRPC, line, method="POST"))
    if timeout in ("100m", "150000u"):
        pair.assert_same(name, ask(GRPC, line, script("stall"), method="POST"), logs=True)
        pair.assert_same(name, ask(line, script(OK), method="POST"))


@pytest.mark.parametrize("name, lines", [(name, lines) for name in ("internal", "internal-off") for lines in HEADERS])
def test_headers_of_internal_clients(pair, name, lines):
    internal = "x-forwarded-for: 10.0.0.1\r\n"
    pair.assert_same(name, ask(internal, lines, "\r\n"))
    if "200" in lines or "300" in lines:
        pair.assert_same(name, ask(internal, lines, "\r\n", STALL), logs=True)
    pair.assert_same(name, ask(lines, "\r\n"))  # a stranger's are not obeyed


@pytest.mark.parametrize("line", [f"{name}: {value}" for name in STRICT for value in ("7", "x", "-1", "", "5xx,reset", "cancelled", "5xx,nonsense")])
def test_strict_check_headers(pair, line):
    pair.assert_same("strict", ask("x-forwarded-for: 10.0.0.1\r\n", line, "\r\n"), logs=True)
    pair.assert_same("strict", ask(line, "\r\n"))  # a stranger's are dropped before anybody looks
