"""The network RBAC filter with rules in force and rules in the shadow, under both programs: who gets through, and what is counted."""
import socket

import pytest

from meshes import free_port, wait_until
from proxies import Proxy, RawOrigin, cluster, listener, tcp_proxy, typed


def rbac(prefix, **fields):
    return typed("envoy.filters.network.rbac", "filters.network.rbac.v3.RBAC", stat_prefix=prefix, **fields)


def rules(action, name, *principals):
    return {"action": action, "policies": {name: {"permissions": [{"any": True}], "principals": list(principals)}}}


def source(address):
    return {"direct_remote_ip": {"address_prefix": address, "prefix_len": 32}}


ONE, ANY = source("127.0.0.2"), {"any": True}
# name -> (filter's fields, whether 127.0.0.2 and 127.0.0.3 get through)
CASES = {
    "allow": ({"rules": rules("ALLOW", "p", ONE)}, True, False),
    "deny": ({"rules": rules("DENY", "p", ONE)}, False, True),
    "none": ({"rules": {"action": "ALLOW"}}, False, False),
    "shadow": ({"shadow_rules": rules("ALLOW", "p", ONE)}, True, True),
    "both": ({"rules": rules("ALLOW", "p", ANY), "shadow_rules": rules("DENY", "q", ONE)}, True, True),
    "opposed": ({"rules": rules("DENY", "p", ONE), "shadow_rules": rules("ALLOW", "q", ONE)}, False, True),
    "prefixed": ({"shadow_rules": rules("DENY", "q", ONE), "shadow_rules_stat_prefix": "trial_"}, True, True),
}


def results(proxy):
    """Counters of the filters without what Envoy counts and nobody asked: zeros, and log_only counts."""
    return {name: value for name, value in proxy.stats().items() if "rbac" in name and value and ("allowed" in name or "denied" in name)}


def test_rules_in_force_and_in_the_shadow(tmp_path):
    seen = {}
    with RawOrigin(lambda connection: connection.sendall(connection.recv(10))) as origin:
        for envoy in (False, True):
            ports = {name: free_port() for name in CASES}
            listeners = [listener(ports[name], rbac(name if name == "opposed" else f"{name}.", **fields), tcp_proxy(), name=name) for name, (fields, *_) in CASES.items()]
            with Proxy(tmp_path, listeners, [cluster(origin.port)], envoy=envoy) as proxy:
                passed = {}
                for name in CASES:
                    passed[name] = []
                    for address in ("127.0.0.2", "127.0.0.3"):
                        with socket.create_connection(("127.0.0.1", ports[name]), timeout=10, source_address=(address, 0)) as client:
                            client.sendall(b"x")
                            try:
                                passed[name].append(client.recv(1) == b"x")
                            except ConnectionResetError:
                                passed[name].append(False)
                assert passed == {name: list(who) for name, (_, *who) in CASES.items()}
                wait_until(lambda: len(results(proxy)) >= len(CASES), what="the counters")
                seen[proxy.name] = results(proxy)
    assert seen["meltemi"] == seen["envoy"]
    assert seen["meltemi"]["prefixed.rbac.trial_.shadow_denied"] == 1 and seen["meltemi"]["both.rbac.shadow_allowed"] == 1
