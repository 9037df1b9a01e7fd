"""Static bootstraps and the programs that run them: the same configuration under meltemi-proxy and under a stock Envoy,
raw sockets on both sides."""
import json
import socket
import subprocess
import threading

import yaml

from meshes import BIN, free_port, wait_until
from programs import ENVOY, Program, fetch

TYPE = "type.googleapis.com/envoy.extensions."


def typed(name, type_name, **fields):
    """An extension: `typed("envoy.filters.http.router", "filters.http.router.v3.Router")`."""
    return {"name": name, "typed_config": {"@type": TYPE + type_name, **fields}}


def at(port, address="127.0.0.1"):
    return {"socket_address": {"address": address, "port_value": port}}


ROUTER = typed("envoy.filters.http.router", "filters.http.router.v3.Router")


def http_manager(routes=None, **fields):
    """An HTTP connection manager; by default everything goes to the cluster `origin`."""
    routes = routes or [{"match": {"prefix": "/"}, "route": {"cluster": "origin"}}]
    base = {"stat_prefix": "in", "http_filters": [ROUTER],
            "route_config": {"name": "local", "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": routes}]}}
    return typed("envoy.filters.network.http_connection_manager",
                 "filters.network.http_connection_manager.v3.HttpConnectionManager", **{**base, **fields})


def tcp_proxy(cluster="origin", **fields):
    return typed("envoy.filters.network.tcp_proxy", "filters.network.tcp_proxy.v3.TcpProxy",
                 **{"stat_prefix": "tcp", "cluster": cluster, **fields})


def listener(port, *filters, name=None, transport_socket=None, **fields):
    chain = {"filters": list(filters)}
    if transport_socket:
        chain["transport_socket"] = transport_socket
    return {"name": name or f"in-{port}", "address": at(port), "filter_chains": [chain], **fields}


def cluster(port, name="origin", **fields):
    return {"name": name, "type": "STATIC", "connect_timeout": "1s", "load_assignment": {
        "cluster_name": name, "endpoints": [{"lb_endpoints": [{"endpoint": {"address": at(port)}}]}]}, **fields}


def file_log(path, text):
    """An access logger that writes lines of `text`."""
    return typed("envoy.access_loggers.file", "access_loggers.file.v3.FileAccessLog", path=str(path),
                 log_format={"text_format_source": {"inline_string": text + "\n"}})


def http2_upstream():
    """`typed_extension_protocol_options` of a cluster that speaks HTTP/2."""
    return {"envoy.extensions.upstreams.http.v3.HttpProtocolOptions": {
        "@type": TYPE + "upstreams.http.v3.HttpProtocolOptions", "explicit_http_config": {"http2_protocol_options": {}}}}


class Plain(yaml.SafeDumper):
    """Without aliases for what stands twice: those are refused."""

    def ignore_aliases(self, data):
        return True


def bootstrap(listeners, clusters, **fields):
    return yaml.dump({"static_resources": {"listeners": listeners, "clusters": clusters}, **fields}, Dumper=Plain)


def refusal(directory, listeners, clusters, **fields):
    """What meltemi-proxy says of a bootstrap that it does not take."""
    file = directory / "refused.yaml"
    file.write_text(bootstrap(listeners, clusters, **fields))
    result = subprocess.run([BIN / "meltemi-proxy", "-c", file, "--mode", "validate"], capture_output=True, text=True, timeout=20)
    assert result.returncode == 1, result
    return result.stdout + result.stderr


class Closing:
    """What has a close() may stand in a `with`."""

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()


class Proxy(Closing):
    """meltemi-proxy (or Envoy) on a static bootstrap; ready when it returns. Close it, or use it in a `with`."""

    def __init__(self, directory, listeners, clusters, *flags, envoy=False, admin=None, env=None, concurrency=1, **fields):
        self.name = "envoy" if envoy else "meltemi"
        self.admin_port = admin or free_port()
        self.config = {"admin": {"address": at(self.admin_port)},
                       "static_resources": {"listeners": listeners, "clusters": clusters}, **fields}
        stem = f"{self.name}-{self.admin_port}"
        self.file = directory / f"{stem}.yaml"
        self.file.write_text(yaml.dump(self.config, Dumper=Plain))
        program = [ENVOY, "--disable-hot-restart", "-l", "warning", "--file-flush-interval-msec", "100"] if envoy else [BIN / "meltemi-proxy"]
        self.program = Program([*program, "-c", self.file, "--concurrency", str(concurrency), *flags], directory / f"{stem}.log", env=env)
        wait_until(self.is_ready, what=f"{self.name} to be ready")

    def is_ready(self):
        self.program.assert_runs()
        return self.admin("/ready")[0] == 200

    def admin(self, path, **kwargs):
        return fetch(f"http://127.0.0.1:{self.admin_port}{path}", **kwargs)

    def stats(self):
        """Counters and gauges by Envoy's name."""
        lines = self.admin("/stats")[1].splitlines()
        return {name: int(value) for name, _, value in (line.rpartition(": ") for line in lines) if value.isdigit()}

    def config_dump(self):
        return json.loads(self.admin("/config_dump")[1])

    def log(self):
        return self.program.text()

    def close(self):
        self.program.close()


class RawOrigin(Closing):
    """Accepts connections on a port of its own and runs `serve(socket)` on a thread for each; keeps what `serve` returns."""

    def __init__(self, serve):
        self.serve, self.results = serve, []
        self.socket = socket.create_server(("127.0.0.1", 0), backlog=1000)
        self.port = self.socket.getsockname()[1]
        threading.Thread(target=self.accept, daemon=True).start()

    def accept(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self.run, args=(connection,), daemon=True).start()

    def run(self, connection):
        connection.settimeout(20)
        try:
            with connection:
                self.results.append(self.serve(connection))
        except OSError:
            pass

    def close(self):
        self.socket.close()


def read_until(connection, mark):
    """What comes up to and including `mark`, or up to the end."""
    data = b""
    while mark not in data:
        more = connection.recv(65536)
        if not more:
            break
        data += more
    return data


def talk(port, data, timeout=10, end=True):
    """Sends raw bytes, reads to the end of the answer. `end` closes our half after the request."""
    with socket.create_connection(("127.0.0.1", port), timeout=timeout) as client:
        answer = b""
        try:
            client.sendall(data)
            if end:
                client.shutdown(socket.SHUT_WR)
            while more := client.recv(65536):
                answer += more
        except OSError as error:
            if isinstance(error, TimeoutError):
                raise
        return answer
