"""Sessions are resumed, and only where what was asked of the client's certificate is still asked for."""
import base64
import os
import ssl

import pytest

from certificates import Authority
from meshes import free_port, wait_until
from proxies import Proxy
from tls import ca, client_context, downstream, https, visit

TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    directory = tmp_path_factory.mktemp("certificates")
    root = Authority(directory)
    root.other = Authority(directory, "other")
    root.server, root.client = root.issue("server", "DNS:a.test"), root.issue("client", "URI:spiffe://mesh/a")
    return root


def ticket_keys(*secrets):
    return {"session_ticket_keys": {"keys": [{"inline_bytes": base64.b64encode(secret).decode()} for secret in secrets]}}


def test_sessions_and_their_bounds(tmp_path, keys):
    first, second = os.urandom(80), os.urandom(80)

    def mutual(validation=None, **fields):
        return downstream(keys.server, validation={**ca(keys), **(validation or {})}, require_client_certificate=True, **fields)

    only = lambda name: {"match_typed_subject_alt_names": [{"san_type": "URI", "matcher": {"exact": name}}]}
    sockets = {
        "own keys": mutual(), "other own keys": mutual(), "no sessions": mutual(disable_stateless_session_resumption=True, disable_stateful_session_resumption=True),
        "no tickets": mutual(disable_stateless_session_resumption=True),
        "given": mutual(**ticket_keys(first)), "given again": mutual(**ticket_keys(first)), "rotated": mutual(**ticket_keys(second, first)),
        "other key": mutual(**ticket_keys(second)), "other names": mutual(only("spiffe://mesh/b"), **ticket_keys(first)),
        "same name": mutual(only("spiffe://mesh/a"), **ticket_keys(first)),
        "other root": downstream(keys.server, validation=ca(keys.other), require_client_certificate=True, **ticket_keys(first)),
        "brief": mutual(session_timeout="1s"),
    }
    ports = {name: free_port() for name in sockets}
    # (a session made here, offered there): resumed?, served?
    cases = [("own keys", "own keys", True, True), ("own keys", "other own keys", False, True), ("no sessions", "no sessions", False, True),
             ("given", "given again", True, True), ("given", "rotated", True, True), ("rotated", "given", False, True),
             ("given", "other key", False, True), ("given", "other names", False, False), ("given", "other root", False, False),
             ("given", "same name", False, True)]
    wrong = []
    with Proxy(tmp_path, [https(ports[name], socket) for name, socket in sockets.items()], []) as proxy:
        for version in (TLS12, TLS13):
            for here, there, is_resumed, is_served in cases:
                context = client_context(pair=keys.client, least=version, most=version)
                made = visit(ports[here], context)
                assert made.served and not made.is_resumed, (here, made, proxy.log()[-2000:])
                outcome = visit(ports[there], context, session=made.session)
                if (outcome.is_resumed, outcome.served) != (is_resumed, is_served):
                    wrong.append((version, here, there, outcome, outcome.is_resumed))
        assert not wrong, wrong
        # A resumed session is resumed again with what came with it.
        context = client_context(pair=keys.client, least=TLS13)
        session = visit(ports["own keys"], context).session
        for _ in range(3):
            outcome = visit(ports["own keys"], context, session=session)
            assert outcome.is_resumed and outcome.served
            session = outcome.session
        brief = visit(ports["brief"], context).session
        assert brief.ticket_lifetime_hint == 1


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_with_state_and_without(tmp_path, keys, envoy):
    """Where tickets are off, TLS 1.2 sessions are kept by the server, TLS 1.3 ones are not resumed."""
    no_tickets, no_state = {"disable_stateless_session_resumption": True}, {"disable_stateful_session_resumption": True}
    # fields, resumed with TLS 1.2, with TLS 1.3
    table = {"both": ({}, True, True), "no tickets": (no_tickets, True, False), "no state": (no_state, True, True),
             "neither": ({**no_tickets, **no_state}, False, False), "no tickets, asks for certificates": ({**no_tickets, "require_client_certificate": True}, True, False)}
    ports = {name: free_port() for name in table}
    listeners = [https(ports[name], downstream(keys.server, validation=ca(keys), **fields)) for name, (fields, *_) in table.items()]
    with Proxy(tmp_path, listeners, [], envoy=envoy):
        seen = {}
        for name in table:
            seen[name] = []
            for version in (TLS12, TLS13):
                context = client_context(pair=keys.client, least=version, most=version)
                first = visit(ports[name], context)
                again = visit(ports[name], context, session=first.session)
                assert first.served and again.served and not first.is_resumed, (name, version, first, again)
                seen[name].append(again.is_resumed)
        assert seen == {name: list(resumed) for name, (_, *resumed) in table.items()}


def test_kept_sessions_have_a_lifetime(tmp_path, keys):
    port = free_port()
    socket = downstream(keys.server, disable_stateless_session_resumption=True, session_timeout="1s")
    with Proxy(tmp_path, [https(port, socket)], []):
        context = client_context(least=TLS12, most=TLS12)
        session = visit(port, context).session
        assert visit(port, context, session=session).is_resumed
        wait_until(lambda: not visit(port, context, session=session).is_resumed, what="the session to be forgotten")
