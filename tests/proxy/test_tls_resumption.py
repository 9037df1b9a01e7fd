"""Sessions are resumed, and only where what was asked of the client's certificate is still asked for."""
import base64
import os
import ssl

import pytest

from certificates import Authority
from meshes import free_port
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
        "own keys": mutual(), "other own keys": mutual(), "no tickets": mutual(disable_stateless_session_resumption=True),
        "given": mutual(**ticket_keys(first)), "given again": mutual(**ticket_keys(first)), "rotated": mutual(**ticket_keys(second, first)),
        "other key": mutual(**ticket_keys(second)), "other names": mutual(only("spiffe://mesh/b"), **ticket_keys(first)),
        "same name": mutual(only("spiffe://mesh/a"), **ticket_keys(first)),
        "other root": downstream(keys.server, validation=ca(keys.other), require_client_certificate=True, **ticket_keys(first)),
        "brief": mutual(session_timeout="1s"),
    }
    ports = {name: free_port() for name in sockets}
    # (a session made here, offered there): resumed?, served?
    cases = [("own keys", "own keys", True, True), ("own keys", "other own keys", False, True), ("no tickets", "no tickets", False, True),
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
