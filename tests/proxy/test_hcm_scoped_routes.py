"""Scoped routes beside Envoy: a table of routes by what headers of a request say."""
import pytest

from meshes import free_port
from pairs import Pair
from proxies import ROUTER, http_manager, listener, refusal


def table(name):
    return {"name": name, "virtual_hosts": [{"name": "all", "domains": ["*"], "routes": [
        {"match": {"prefix": "/"}, "route": {"cluster": "origin"}, "request_headers_to_add": [{"header": {"key": "x-scope", "value": name}}]}]}]}


def scope(*key, name=None):
    name = name or "-".join(key)
    return {"name": name, "route_configuration": table(name), "key": {"fragments": [{"string_key": part} for part in key]}}


def by(*extractors, scopes):
    # A manager with scopes has no route_config of its own.
    fragments = [{"header_value_extractor": extractor} for extractor in extractors]
    return {"route_config": None, "scoped_routes": {
        "name": "scopes", "scope_key_builder": {"fragments": fragments}, "scoped_route_configurations_list": {"scoped_route_configurations": scopes}}}


LISTED = {"name": "x-list", "element_separator": ";", "element": {"key": "tenant", "separator": "="}}
MANAGERS = {
    "whole": by({"name": "x-tenant", "index": 0}, scopes=[scope("a"), scope("b")]),
    "index": by({"name": "x-tenant", "element_separator": ",", "index": 1}, scopes=[scope("a"), scope("b")]),
    "element": by(LISTED, scopes=[scope("a"), scope("b")]),
    "two": by({"name": "x-tenant", "index": 0}, LISTED, scopes=[scope("a", "b"), scope("ab", "", name="odd"), scope("b", "a")]),
}


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    with Pair(tmp_path_factory.mktemp("scopes"), MANAGERS) as pair:
        yield pair


REQUESTS = ["", "x-tenant: a", "X-Tenant: b", "x-tenant: c", "x-tenant: A", "x-tenant: x,a", "x-tenant: a,b,c", "x-tenant: a,", "x-tenant: a\r\nx-tenant: b",
            "x-list: tenant=a", "x-list: other=b;tenant=b", "x-list: tenant=a;tenant=b", "x-list: tenant", "x-list: tenant=", "x-list: ;;tenant=a", "x-list: TENANT=a",
            "x-tenant: a\r\nx-list: tenant=b", "x-tenant: ab\r\nx-list: tenant=", "x-tenant: ab\r\nx-list: tenant", "x-tenant: a"]


@pytest.mark.parametrize("name, lines", [(name, lines) for name in MANAGERS for lines in REQUESTS])
def test_scope_of_a_request(pair, name, lines):
    lines += "\r\n" if lines else ""
    pair.assert_same(name, f"GET / HTTP/1.1\r\nhost: a\r\nx-case: ?\r\n{lines}\r\n", logs=True)


@pytest.mark.parametrize("fields, reason", [
    (by({"name": "x", "index": 1}, scopes=[]), "index 1 without element_separator"),
    (by({"name": "x", "index": 0}, scopes=[scope("a", "b")]), "a key of 2 fragments, the builder makes 1"),
    (by({"name": "x", "index": 0}, scopes=[scope("a"), scope("a", name="again")]), "another one has its key"),
    ({"route_config": None, "scoped_routes": {"name": "s", "scope_key_builder": {"fragments": []}, "scoped_rds": {}}}, "scoped_rds is not supported"),
])
def test_what_is_refused(tmp_path, fields, reason):
    assert reason in refusal(tmp_path, [listener(free_port(), http_manager(http_filters=[ROUTER], **fields))], [])
