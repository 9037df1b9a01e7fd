"""Bootstraps with dynamic_resources: the same file under meltemi-proxy and under a stock Envoy, configuration from an xDS
server on grpcio in both forms, aggregated or by type, and from files."""
import json
import pathlib
import sys

import pytest

from ads import CLUSTER, ENDPOINTS, LISTENER, ROUTES
from ads_server import SECRET, AdsServer
from certificates import Authority
from meshes import free_port, wait_until
from programs import fetch, write

sys.path.insert(0, str(pathlib.Path(__file__).parents[1] / "proxy"))
from proxies import Proxy, RawOrigin, at, cluster, http2_upstream, http_manager, listener, refusal, typed  # noqa: E402
from tls import common_name, visit  # noqa: E402

ADS = {"ads": {}, "resource_api_version": "V3", "initial_fetch_timeout": "10s"}
NODE = {"id": "test-node", "cluster": "test-cluster", "metadata": {"a": "b"}}
EACH = pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
FORMS = pytest.mark.parametrize("api_type", ["DELTA_GRPC", "GRPC"])


def grpc_source(api_type="DELTA_GRPC", name="xds"):
    return {"api_type": api_type, "transport_api_version": "V3", "set_node_on_first_message_only": True,
            "grpc_services": [{"envoy_grpc": {"cluster_name": name}}]}


def of_type(api_type="DELTA_GRPC"):
    return {"api_config_source": grpc_source(api_type), "resource_api_version": "V3"}


def xds_cluster(port):
    return cluster(port, "xds", typed_extension_protocol_options=http2_upstream())


def start(directory, server, envoy, api_type="DELTA_GRPC", listeners=(), clusters=(), **dynamic):
    resources = {"ads_config": grpc_source(api_type), "cds_config": ADS, "lds_config": ADS, **dynamic}
    return Proxy(directory, list(listeners), [xds_cluster(server.port), *clusters], envoy=envoy, node=NODE, dynamic_resources=resources)


def eds_cluster(name, source=None):
    return {"name": name, "type": "EDS", "connect_timeout": "1s", "eds_cluster_config": {"eds_config": source or ADS}}


def endpoints(name, *ports):
    return {"cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at(port)}} for port in ports]}]}


def http_listener(port, name="web", source=None):
    manager = http_manager()
    del manager["typed_config"]["route_config"]
    manager["typed_config"]["rds"] = {"route_config_name": "table", "config_source": source or ADS}
    return listener(port, manager, name=name)


def routes(name, to="origin"):
    return {"name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [{"match": {"prefix": "/"}, "route": {"cluster": to}}]}]}


def answering(text):
    def serve(connection):
        while connection.recv(65536):
            connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%s" % (len(text), text))
    return RawOrigin(serve)


def get(port):
    """(status, body); (0, "") where nobody listens."""
    try:
        return fetch(f"http://127.0.0.1:{port}/")
    except OSError:
        return 0, ""


@pytest.fixture
def server():
    server = AdsServer()
    yield server
    server.close()


def give_all(server, port, origin):
    server.set(ENDPOINTS, endpoints("origin", origin))
    server.set(CLUSTER, eds_cluster("origin"))
    server.set(ROUTES, routes("table"))
    server.set(LISTENER, http_listener(port))


@EACH
@FORMS
def test_everything_by_the_aggregated_stream(tmp_path, server, envoy, api_type):
    port, other = free_port(), free_port()
    with answering(b"one") as one, answering(b"two") as two:
        give_all(server, port, one.port)
        with start(tmp_path, server, envoy, api_type):
            assert get(port) == (200, "one")
            node = server.requests[0].node
            assert (node.id, node.cluster, node.metadata["a"]) == ("test-node", "test-cluster", "b")
            assert node.user_agent_name == ("envoy" if envoy else "meltemi")
            server.set(ENDPOINTS, endpoints("origin", two.port))
            wait_until(lambda: get(port) == (200, "two"), what="the new endpoint")
            server.set(CLUSTER, cluster(one.port, "fixed"))
            server.set(ROUTES, routes("table", "fixed"))
            wait_until(lambda: get(port) == (200, "one"), what="the new route")
            server.set(LISTENER, http_listener(other, "more"))
            wait_until(lambda: get(other) == (200, "one"), what="a second listener")
            server.drop(LISTENER, "web")
            wait_until(lambda: get(port)[0] == 0, what="the first listener to go")
            assert get(other) == (200, "one")
            server.drop(CLUSTER, "fixed")
            wait_until(lambda: get(other)[0] == 503, what="the cluster to go")
            assert not server.refusals
            assert {type_url for type_url, _ in server.acknowledged} == {CLUSTER, ENDPOINTS, LISTENER, ROUTES}


@EACH
@FORMS
def test_a_bad_resource_is_refused_by_name_and_the_good_beside_it_is_taken(tmp_path, server, envoy, api_type):
    port, other = free_port(), free_port()
    with answering(b"one") as one:
        give_all(server, port, one.port)
        with start(tmp_path, server, envoy, api_type):
            assert get(port) == (200, "one")
            bad = http_listener(free_port(), "bad")
            del bad["filter_chains"][0]["filters"][0]["typed_config"]["rds"]
            server.set(LISTENER, bad, http_listener(other, "good"))
            wait_until(lambda: server.refusals, what="a refusal")
            assert server.refusals[0][0] == LISTENER and "bad" in server.refusals[0][1], server.refusals
            wait_until(lambda: get(other) == (200, "one"), what="the good listener")
            assert get(port) == (200, "one")


@EACH
@FORMS
def test_a_restarted_server_is_found_again_and_told_what_is_held(tmp_path, server, envoy, api_type):
    port = free_port()
    with answering(b"one") as one, answering(b"two") as two:
        give_all(server, port, one.port)
        with start(tmp_path, server, envoy, api_type):
            assert get(port) == (200, "one")
            server.close()
            again = AdsServer(server.port)
            try:
                again.resources, again.version = server.resources, server.version
                assert get(port) == (200, "one")
                wait_until(lambda: again.requests, timeout=40, what="the client to come back")
                wait_until(lambda: {request.type_url for request in again.requests} >= {CLUSTER, ENDPOINTS, LISTENER, ROUTES}, what="all types")
                if api_type == "DELTA_GRPC":
                    first = next(request for request in again.requests if request.type_url == ENDPOINTS)
                    assert dict(first.initial_resource_versions) == {"origin": "1"}
                again.set(ENDPOINTS, endpoints("origin", two.port))
                wait_until(lambda: get(port) == (200, "two"), what="the new endpoint")
            finally:
                again.close()


@EACH
@FORMS
def test_streams_of_one_type_each(tmp_path, server, envoy, api_type):
    port, source = free_port(), of_type(api_type)
    with answering(b"one") as one:
        server.set(ENDPOINTS, endpoints("origin", one.port))
        server.set(CLUSTER, eds_cluster("origin", source))
        server.set(ROUTES, routes("table"))
        server.set(LISTENER, http_listener(port, source=source))
        with Proxy(tmp_path, [], [xds_cluster(server.port)], envoy=envoy, node=NODE,
                   dynamic_resources={"cds_config": source, "lds_config": source}):
            wait_until(lambda: get(port) == (200, "one"), what="the route")
            word = "Delta" if api_type == "DELTA_GRPC" else "Stream"
            assert {path.rpartition("/")[2] for path in server.paths} == {word + kind for kind in ("Clusters", "Endpoints", "Listeners", "Routes")}


@EACH
def test_secrets_by_a_stream_of_their_own(tmp_path, server, envoy):
    port, authority = free_port(), Authority(tmp_path)

    def secret(name):
        return {"name": "server", "tls_certificate": authority.issue(name).envoy()}

    def shown():
        certificate = visit(port).certificate
        return certificate and common_name(certificate)
    tls = typed("envoy.transport_sockets.tls", "transport_sockets.tls.v3.DownstreamTlsContext", common_tls_context={
        "tls_certificate_sds_secret_configs": [{"name": "server", "sds_config": of_type("GRPC")}]})
    server.set(SECRET, secret("one.test"))
    with answering(b"one") as one, Proxy(tmp_path, [listener(port, http_manager(), transport_socket=tls)],
                                         [xds_cluster(server.port), cluster(one.port)], envoy=envoy, node=NODE) as proxy:
        wait_until(lambda: shown() == "one.test", what="the certificate")
        server.set(SECRET, secret("two.test"))
        wait_until(lambda: shown() == "two.test", what="the next certificate")
        assert server.paths == ["envoy.service.secret.v3.SecretDiscoveryService/StreamSecrets"]
        proxy.program.assert_runs()


def discovery_file(directory, name, type_url, *resources):
    write(directory, name, json.dumps({"resources": [{"@type": type_url, **resource} for resource in resources]}))


def from_file(path):
    return {"path_config_source": {"path": str(path)}, "resource_api_version": "V3"}


@EACH
def test_everything_from_files_that_are_moved_into_place(tmp_path, envoy):
    folder, port, other = tmp_path / "xds", free_port(), free_port()
    folder.mkdir()
    with answering(b"one") as one, answering(b"two") as two:
        discovery_file(folder, "eds.yaml", ENDPOINTS, endpoints("origin", one.port))
        discovery_file(folder, "rds.yaml", ROUTES, routes("table"))
        discovery_file(folder, "cds.yaml", CLUSTER, eds_cluster("origin", from_file(folder / "eds.yaml")))
        discovery_file(folder, "lds.yaml", LISTENER, http_listener(port, source=from_file(folder / "rds.yaml")))
        dynamic = {"cds_config": from_file(folder / "cds.yaml"), "lds_config": from_file(folder / "lds.yaml")}
        with Proxy(tmp_path, [], [], envoy=envoy, node=NODE, dynamic_resources=dynamic) as proxy:
            wait_until(lambda: get(port) == (200, "one"), what="the route")
            discovery_file(folder, "eds.yaml", ENDPOINTS, endpoints("origin", two.port))
            wait_until(lambda: get(port) == (200, "two"), what="the new endpoint")
            write(folder, "eds.yaml", "resources: [ {")
            discovery_file(folder, "lds.yaml", LISTENER, http_listener(port, source=from_file(folder / "rds.yaml")),
                           http_listener(other, "more", source=from_file(folder / "rds.yaml")))
            wait_until(lambda: get(other) == (200, "two"), what="the second listener")
            assert get(port) == (200, "two")
            wait_until(lambda: "eds.yaml" in proxy.log(), what="the log to name the broken file")
            discovery_file(folder, "eds.yaml", ENDPOINTS, endpoints("origin", one.port))
            wait_until(lambda: get(port) == (200, "one"), what="the mended file")
            discovery_file(folder, "lds.yaml", LISTENER, http_listener(other, "more", source=from_file(folder / "rds.yaml")))
            wait_until(lambda: get(port)[0] == 0, what="the listener to go")


@EACH
def test_an_absent_server_does_not_stop_what_is_static(tmp_path, envoy):
    port = free_port()
    lost = {"api_config_source": grpc_source(), "resource_api_version": "V3", "initial_fetch_timeout": "0.5s"}
    with answering(b"one") as one, Proxy(tmp_path, [listener(port, http_manager())], [xds_cluster(free_port()), cluster(one.port)], envoy=envoy,
                                         node=NODE, dynamic_resources={"cds_config": lost, "lds_config": lost}):
        assert get(port) == (200, "one")


def test_sources_that_lead_nowhere_are_refused(tmp_path):
    nowhere = {"api_config_source": grpc_source(name="nowhere"), "resource_api_version": "V3"}
    rest = {"api_config_source": {"api_type": "REST", "transport_api_version": "V3", "cluster_names": ["x"]}}
    for named, clusters, dynamic in [
            ("no ads_config", [], {"cds_config": ADS}),
            ("'nowhere' is none of static_resources.clusters", [], {"cds_config": nowhere}),
            ("cds_config: api_config_source: api_type REST", [], {"cds_config": rest}),
            ("lds_resources_locator", [], {"lds_resources_locator": "xdstp://a/b"}),
            ("subscribed by ads, but there is no", [eds_cluster("a")], {}),
            ("eds_config: api_config_source: grpc_services", [eds_cluster("a", {"api_config_source": {
                "api_type": "GRPC", "transport_api_version": "V3", "grpc_services": [{"google_grpc": {"target_uri": "x", "stat_prefix": "x"}}]}})], {})]:
        assert named in refusal(tmp_path, [], clusters, node=NODE, dynamic_resources=dynamic)
