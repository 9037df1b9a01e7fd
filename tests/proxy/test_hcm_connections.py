"""How long connections live, and settings that are refused by their path instead of being half kept."""
import subprocess

import pytest
import yaml

from meshes import BIN, free_port
from pairs import Pair, script
from proxies import at, cluster, http_manager, listener, typed

OK = b"HTTP/1.1 200 OK\r\ncontent-length: 0\r\n\r\n"
MANAGERS = {"idle": {"common_http_protocol_options": {"idle_timeout": "0.3s"}}, "lifetime": {"common_http_protocol_options": {"max_connection_duration": "0.4s"}},
            "one": {"common_http_protocol_options": {"max_requests_per_connection": 1}}}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    with Pair(tmp_path_factory.mktemp("connections"), MANAGERS) as pair:
        yield pair


def answers(side, name, *requests):
    """All that comes up to the end of the connection, which the proxy closes."""
    with side.connect(name) as client:
        for request in requests:
            client.sendall(request.encode())
        data = b""
        while more := client.recv(65536):
            data += more
        return data


GET = "GET / HTTP/1.1\r\nhost: a\r\n\r\n"
SLOW = f"GET / HTTP/1.1\r\nhost: a\r\n{script('0.8', OK)}\r\n"


@pytest.mark.parametrize("name, requests, count, says_close", [
    ("idle", [], 0, False), ("idle", [GET], 1, False), ("idle", [SLOW], 1, False), ("lifetime", [], 0, False), ("lifetime", [SLOW], 1, True),
    ("one", [GET], 1, True), ("one", [GET, GET], 1, True)])
def test_connections_end(pair, name, requests, count, says_close):
    for side in pair.sides:
        data = answers(side, name, *requests)
        assert data.count(b"HTTP/1.1 200 OK") == count, (side.name, data)
        assert (b"connection: close" in data) == says_close, (side.name, data)


# Each field is refused with this in the message, whatever else is right.
ROUTE = {"match": {"prefix": "/"}, "route": {"cluster": "origin"}}
REFUSED = [
    ({"codec_type": "HTTP3"}, "HTTP3"), ({"add_user_agent": True}, "add_user_agent"), ({"stream_flush_timeout": "1s"}, "stream_flush_timeout"),
    ({"represent_ipv4_remote_address_as_ipv4_mapped_ipv6": True}, "represent_ipv4_remote_address_as_ipv4_mapped_ipv6"),
    ({"stream_error_on_invalid_http_message": True}, "stream_error_on_invalid_http_message"), ({"path_normalization_options": {}}, "path_normalization_options"),
    ({"proxy_status_config": {}}, "proxy_status_config"), ({"append_local_overload": True}, "append_local_overload"),
    ({"typed_header_validation_config": {"name": "x"}}, "typed_header_validation_config"), ({"early_header_mutation_extensions": [{"name": "x"}]}, "early_header_mutation_extensions"),
    ({"original_ip_detection_extensions": [{"name": "x"}]}, "original_ip_detection_extensions"),
    ({"set_current_client_cert_details": {"chain": True}}, "set_current_client_cert_details.chain"), ({"internal_address_config": {"unix_sockets": True}}, "internal_address_config.unix_sockets"),
    ({"internal_address_config": {"cidr_ranges": [{"address_prefix": "10.0.0.0", "prefix_len": 33}]}}, "internal_address_config"),
    ({"scheme_header_transformation": {"match_upstream": True}}, "match_upstream"), ({"http1_safe_max_connection_duration": True}, "http1_safe_max_connection_duration"),
    ({"common_http_protocol_options": {"max_response_headers_kb": 5}}, "common_http_protocol_options.max_response_headers_kb"),
    ({"http_protocol_options": {"allow_absolute_url": False}}, "http_protocol_options.allow_absolute_url"), ({"http_protocol_options": {"allow_chunked_length": True}}, "http_protocol_options.allow_chunked_length"),
    ({"http2_protocol_options": {"allow_metadata": True}}, "http2_protocol_options.allow_metadata"), ({"upgrade_configs": [{"upgrade_type": "websocket", "filters": [{"name": "x"}]}]}, "upgrade_configs.filters"),
    ({"http_filters": [typed("r", "filters.http.router.v3.Router", strict_check_headers=["x-other"])]}, "strict_check_headers"),
    ({"http_filters": [typed("r", "filters.http.router.v3.Router", respect_expected_rq_timeout=True)]}, "respect_expected_rq_timeout"),
    ({"local_reply_config": {"mappers": [{"status_code": 500}]}}, "local_reply_config.mappers[0]"),
    ({"local_reply_config": {"body_format": {"text_format_source": {"inline_string": "%NO_SUCH%"}}}}, "local_reply_config.body_format"),
    ({"local_reply_config": {"mappers": [{"filter": {"traceable_filter": {}}}]}}, "filter"),
]


@pytest.mark.parametrize("fields, word", REFUSED, ids=[word for _, word in REFUSED])
def test_refused_fields(tmp_path, fields, word):
    file = tmp_path / "bootstrap.yaml"
    manager = http_manager(**fields)
    manager["typed_config"] = {key: value for key, value in manager["typed_config"].items() if value is not None}
    file.write_text(yaml.safe_dump({"admin": {"address": at(free_port())}, "static_resources": {
        "listeners": [listener(free_port(), manager)], "clusters": [cluster(free_port())]}}))
    done = subprocess.run([BIN / "meltemi-proxy", "-c", file, "--mode", "validate"], capture_output=True, text=True, timeout=20)
    assert done.returncode == 1 and word in done.stderr + done.stdout, done
