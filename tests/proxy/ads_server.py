"""A control plane of grpcio: the resources a test puts there reach the proxy by the delta form of ADS."""
import importlib
import threading
from concurrent import futures

import grpc
from envoy.service.discovery.v3 import ads_pb2_grpc, discovery_pb2
from google.protobuf import json_format

from proxies import Closing

PREFIX = "type.googleapis.com/"
TYPES = {"cluster": "envoy.config.cluster.v3.Cluster", "listener": "envoy.config.listener.v3.Listener",
         "secret": "envoy.extensions.transport_sockets.tls.v3.Secret"}
# Those that the extensions of our tests are packed with: importing one registers it.
for extension in ("filters.http.router.v3.router", "filters.network.http_connection_manager.v3.http_connection_manager",
                  "transport_sockets.tls.v3.tls", "transport_sockets.tls.v3.secret"):
    importlib.import_module(f"envoy.extensions.{extension}_pb2")


def message(kind, fields):
    module, _, name = TYPES[kind].rpartition(".")
    modules = {"cluster": "cluster", "listener": "listener", "secret": "secret"}
    return json_format.ParseDict(fields, getattr(importlib.import_module(f"{module}.{modules[kind]}_pb2"), name)())


class AdsServer(Closing, ads_pb2_grpc.AggregatedDiscoveryServiceServicer):
    def __init__(self):
        self.resources, self.version = {}, 0  # (type URL, name) -> (version, message)
        self.refusals = []                    # what the proxy said of what it did not take
        self.changed = threading.Condition()
        self.server = grpc.server(futures.ThreadPoolExecutor(max_workers=8))
        ads_pb2_grpc.add_AggregatedDiscoveryServiceServicer_to_server(self, self.server)
        self.port = self.server.add_insecure_port("127.0.0.1:0")
        self.server.start()

    def put(self, kind, *several):
        with self.changed:
            self.version += 1
            for fields in several:
                self.resources[PREFIX + TYPES[kind], fields["name"]] = (self.version, message(kind, fields))
            self.changed.notify_all()

    def read(self, requests, wanted, context):
        """Notes what the stream asks for: a set of names for each type, "*" among them for all."""
        try:
            for request in requests:
                with self.changed:
                    if request.HasField("error_detail"):
                        self.refusals.append(request.error_detail.message)
                    names = wanted.setdefault(request.type_url, set())
                    names.update(request.resource_names_subscribe or ([] if names or request.response_nonce else ["*"]))
                    names.difference_update(request.resource_names_unsubscribe)
                    self.changed.notify_all()
        except grpc.RpcError:
            pass
        with self.changed:
            wanted[None] = True
            self.changed.notify_all()

    def DeltaAggregatedResources(self, requests, context):
        wanted, sent, nonce = {}, {}, 0
        threading.Thread(target=self.read, args=(requests, wanted, context), daemon=True).start()
        while True:
            with self.changed:
                due = self.due(wanted, sent)
                while not due and None not in wanted:
                    self.changed.wait()
                    due = self.due(wanted, sent)
                if None in wanted:
                    return
            for url, found in due.items():
                nonce += 1
                answer = discovery_pb2.DeltaDiscoveryResponse(type_url=url, nonce=str(nonce), system_version_info=str(self.version))
                for name, (version, resource) in found.items():
                    answer.resources.add(name=name, version=str(version)).resource.Pack(resource)
                    sent[url, name] = version
                sent.setdefault(url, True)
                yield answer

    def due(self, wanted, sent):
        """What the stream asked for and does not have; of a type asked for in whole an empty answer at least."""
        due = {}
        for url, names in wanted.items():
            if url is None:
                continue
            found = {name: value for (of, name), value in self.resources.items()
                     if of == url and ("*" in names or name in names) and sent.get((url, name)) != value[0]}
            if found or ("*" in names and url not in sent):
                due[url] = found
        return due

    def close(self):
        self.server.stop(0)
