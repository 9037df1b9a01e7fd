"""A client of the discovery service on grpcio: not ours on either end of a test."""
import queue
import threading

import grpc
from envoy.config.core.v3 import base_pb2
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from google.protobuf import json_format, struct_pb2
# Registered so that resources can be unpacked.
from envoy.config.cluster.v3 import cluster_pb2
from envoy.config.endpoint.v3 import endpoint_pb2
from envoy.config.listener.v3 import listener_pb2
from envoy.config.route.v3 import route_pb2
from envoy.extensions.retry.host.previous_hosts.v3 import previous_hosts_pb2  # noqa: F401

PREFIX = "type.googleapis.com/"
CLUSTER = PREFIX + "envoy.config.cluster.v3.Cluster"
ENDPOINTS = PREFIX + "envoy.config.endpoint.v3.ClusterLoadAssignment"
LISTENER = PREFIX + "envoy.config.listener.v3.Listener"
ROUTES = PREFIX + "envoy.config.route.v3.RouteConfiguration"
MESSAGES = {CLUSTER: cluster_pb2.Cluster, ENDPOINTS: endpoint_pb2.ClusterLoadAssignment, LISTENER: listener_pb2.Listener,
            ROUTES: route_pb2.RouteConfiguration}


def node(role="sidecar", ip="10.1.2.3", name="client-1", namespace="default", labels=None):
    metadata = struct_pb2.Struct()
    metadata.update({"NAME": name, "NAMESPACE": namespace, "LABELS": labels or {"app": "client"}, "SERVICE_ACCOUNT": "client",
                     "CLUSTER_ID": "Kubernetes", "ISTIO_VERSION": "1.32.0"})
    return base_pb2.Node(id=f"{role}~{ip}~{name}.{namespace}~{namespace}.svc.cluster.local", metadata=metadata)


class Stream:
    """One aggregated stream in either form, acknowledging what comes unless told otherwise."""

    def __init__(self, port, who=None, is_delta=True, channel=None, metadata=()):
        self.is_delta = is_delta
        self.channel = channel or grpc.insecure_channel(f"127.0.0.1:{port}")
        stub = ads_pb2_grpc.AggregatedDiscoveryServiceStub(self.channel)
        self.outgoing, self.incoming = queue.Queue(), queue.Queue()
        self.node = who or node()
        self.names_of = {}   # type -> what was asked for: a state-of-the-world request says it each time
        self.held = {}       # (type, name) -> message
        self.responses = []  # (type, changed names, removed names)
        call = stub.DeltaAggregatedResources if is_delta else stub.StreamAggregatedResources
        self.call = call(iter(self.outgoing.get, None), metadata=metadata)
        threading.Thread(target=self.read, daemon=True).start()

    def read(self):
        try:
            for response in self.call:
                self.incoming.put(response)
        except grpc.RpcError as error:
            self.incoming.put(error)

    def send(self, **fields):
        kind = discovery_pb2.DeltaDiscoveryRequest if self.is_delta else discovery_pb2.DiscoveryRequest
        self.outgoing.put(kind(node=self.node, **fields))

    def subscribe(self, type_url, names=()):
        if self.is_delta:
            self.send(type_url=type_url, resource_names_subscribe=list(names))
        else:
            self.names_of[type_url] = list(names)
            self.send(type_url=type_url, resource_names=list(names))

    def take(self, timeout=10):
        """The next response, acknowledged and noted; returns (type, changed names, removed names)."""
        response = self.incoming.get(timeout=timeout)
        if isinstance(response, grpc.RpcError):
            raise response
        url = response.type_url
        changed, removed = {}, []
        for resource in response.resources:
            any_message = resource.resource if self.is_delta else resource
            message = MESSAGES[url]()
            assert any_message.Unpack(message), any_message.type_url
            changed[message.cluster_name if url == ENDPOINTS else message.name] = message
        if self.is_delta:
            removed = list(response.removed_resources)
            self.send(type_url=url, response_nonce=response.nonce)
        else:
            self.send(type_url=url, response_nonce=response.nonce, version_info=response.version_info,
                      resource_names=self.names_of[url])
        for name, message in changed.items():
            self.held[url, name] = message
        for name in removed:
            self.held.pop((url, name), None)
        self.responses.append((url, sorted(changed), removed))
        return self.responses[-1]

    def is_silent(self, seconds=0.5):
        """Whether nothing comes for a while; for saying that a change did not concern this client."""
        try:
            self.incoming.put(self.incoming.get(timeout=seconds))
            return False
        except queue.Empty:
            return True

    def names(self, type_url):
        return sorted(name for url, name in self.held if url == type_url)

    def json(self, type_url, name):
        return json_format.MessageToDict(self.held[type_url, name], preserving_proto_field_name=True)

    def close(self):
        self.outgoing.put(None)
        self.call.cancel()
        self.channel.close()
