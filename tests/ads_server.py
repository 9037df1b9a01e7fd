"""A discovery server on grpcio with one set of resources for everybody: both forms, aggregated and by type."""
import collections
import concurrent.futures
import queue
import threading

import grpc
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.filters.http.router.v3 import router_pb2  # noqa: F401  (for Any)
from envoy.extensions.filters.network.http_connection_manager.v3 import http_connection_manager_pb2  # noqa: F401
from envoy.extensions.filters.network.tcp_proxy.v3 import tcp_proxy_pb2  # noqa: F401
from envoy.extensions.transport_sockets.tls.v3 import secret_pb2, tls_pb2  # noqa: F401
from envoy.extensions.upstreams.http.v3 import http_protocol_options_pb2  # noqa: F401
from envoy.service.discovery.v3 import discovery_pb2
from google.protobuf import json_format

from ads import CLUSTER, ENDPOINTS, LISTENER, PREFIX, ROUTES

SECRET = PREFIX + "envoy.extensions.transport_sockets.tls.v3.Secret"
MESSAGES = {CLUSTER: cluster_pb2.Cluster, ENDPOINTS: endpoint_pb2.ClusterLoadAssignment, LISTENER: listener_pb2.Listener,
            ROUTES: route_pb2.RouteConfiguration, SECRET: secret_pb2.Secret}
ORDER = [CLUSTER, ENDPOINTS, LISTENER, ROUTES, SECRET]
SERVICES = {CLUSTER: ("cluster", "Cluster"), ENDPOINTS: ("endpoint", "Endpoint"), LISTENER: ("listener", "Listener"), ROUTES: ("route", "Route"),
            SECRET: ("secret", "Secret")}


class Subscription:
    """Of one type on one stream."""

    def __init__(self):
        self.names, self.is_whole, self.sent, self.is_answered = set(), False, {}, False

    def wants(self, name):
        return self.is_whole or name in self.names


class Session:
    """One stream: what it asked, what it was sent, what it said to that."""

    def __init__(self, server, is_delta):
        self.server, self.is_delta = server, is_delta
        self.types = collections.defaultdict(Subscription)
        self.outgoing = queue.Queue()

    def read(self, requests):
        try:
            for request in requests:
                with self.server.lock:
                    self.on_request(request)
        except grpc.RpcError:
            pass
        self.outgoing.put(None)

    def on_request(self, request):
        self.server.requests.append(request)
        type_url = request.type_url
        subscription = self.types[type_url]
        is_first = type_url not in self.server.asked_of(self)
        if request.response_nonce:
            (self.server.refusals if request.HasField("error_detail") else self.server.acknowledged).append(
                (type_url, request.error_detail.message))
        if self.is_delta:
            added = set(request.resource_names_subscribe) - {"*"}
            subscription.is_whole |= "*" in request.resource_names_subscribe or (is_first and not added)
            subscription.names = (subscription.names | added) - set(request.resource_names_unsubscribe)
            if is_first:
                subscription.sent = dict(request.initial_resource_versions)
            for name in added:
                subscription.sent.pop(name, None) if not is_first else None
        else:
            subscription.is_whole = not request.resource_names
            before, subscription.names = subscription.names, set(request.resource_names)
            if subscription.names - before:
                subscription.sent.clear()
        self.server.note_asked(self, type_url)
        self.push(type_url)

    def push(self, type_url):
        subscription = self.types[type_url]
        there = {name: version for name, (version, _) in self.server.resources[type_url].items() if subscription.wants(name)}
        changed = [name for name, version in there.items() if subscription.sent.get(name) != version]
        removed = [name for name in subscription.sent if name not in self.server.resources[type_url]]
        missing = [name for name in subscription.names if name not in there and name not in subscription.sent] if self.is_delta else []
        is_first_of_whole = self.is_delta and subscription.is_whole and not subscription.is_answered
        if not changed and not removed and not missing and not is_first_of_whole:
            return
        subscription.is_answered = True
        self.server.nonce += 1
        if self.is_delta:
            response = discovery_pb2.DeltaDiscoveryResponse(type_url=type_url, nonce=str(self.server.nonce), removed_resources=removed + missing)
            for name in changed:
                version, message = self.server.resources[type_url][name]
                response.resources.add(name=name, version=version).resource.Pack(message)
        else:
            response = discovery_pb2.DiscoveryResponse(type_url=type_url, nonce=str(self.server.nonce), version_info=str(self.server.version))
            for name in there:
                response.resources.add().Pack(self.server.resources[type_url][name][1])
        subscription.sent = there | dict.fromkeys(missing)
        self.outgoing.put(response)


class AdsServer:
    """`resources[type][name] = (version, message)`. set() and drop() push to everybody."""

    def __init__(self, port=0):
        self.lock = threading.RLock()
        self.resources, self.version, self.nonce = collections.defaultdict(dict), 0, 0
        self.requests, self.acknowledged, self.refusals = [], [], []
        self.sessions, self.asked = {}, collections.defaultdict(set)
        self.paths = []
        self.server = grpc.server(concurrent.futures.ThreadPoolExecutor(max_workers=64))
        handlers = {"envoy.service.discovery.v3.AggregatedDiscoveryService": {"StreamAggregatedResources": False, "DeltaAggregatedResources": True}}
        for folder, name in SERVICES.values():
            plural = name + "s"
            handlers[f"envoy.service.{folder}.v3.{name}DiscoveryService"] = {f"Stream{plural}": False, f"Delta{plural}": True}
        for service, methods in handlers.items():
            self.server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {
                method: self.handler(f"{service}/{method}", is_delta) for method, is_delta in methods.items()})])
        self.port = self.server.add_insecure_port(f"127.0.0.1:{port}")
        self.server.start()

    def handler(self, path, is_delta):
        def serve(requests, context):
            session = Session(self, is_delta)
            with self.lock:
                self.paths.append(path)
                self.sessions[id(session)] = session
            context.add_callback(lambda: (self.sessions.pop(id(session), None), session.outgoing.put(None)))
            threading.Thread(target=session.read, args=[requests], daemon=True).start()
            while (response := session.outgoing.get()) is not None:
                yield response
        kind = discovery_pb2.DeltaDiscoveryRequest if is_delta else discovery_pb2.DiscoveryRequest
        return grpc.stream_stream_rpc_method_handler(serve, request_deserializer=kind.FromString,
                                                     response_serializer=lambda message: message.SerializeToString())

    def asked_of(self, session):
        return self.asked[id(session)]

    def note_asked(self, session, type_url):
        self.asked[id(session)].add(type_url)

    def set(self, type_url, *resources):
        """Adds or replaces resources, given as JSON."""
        with self.lock:
            self.version += 1
            for resource in resources:
                message = json_format.ParseDict(resource, MESSAGES[type_url]())
                self.resources[type_url][resource.get("name") or resource["cluster_name"]] = (str(self.version), message)
            self.push(type_url)

    def drop(self, type_url, *names):
        with self.lock:
            self.version += 1
            for name in names:
                del self.resources[type_url][name]
            self.push(type_url)

    def push(self, type_url):
        for session in list(self.sessions.values()):
            if type_url in self.asked_of(session):
                session.push(type_url)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def close(self):
        self.server.stop(0).wait()
