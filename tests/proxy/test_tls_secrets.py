"""Certificates and session ticket keys that come as secrets: which one is shown, and what a rotation does to those connected."""
import base64
import os
import socket
import ssl

import pytest

from ads import LISTENER
from ads_server import SECRET, AdsServer
from certificates import Authority
from meshes import BIN, free_port, wait_until
from programs import Program, fetch
from tls import ca, client_context, common_name, downstream, https, visit

TLS12 = ssl.TLSVersion.TLSv1_2
ADS = {"ads": {}, "resource_api_version": "V3"}


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    root = Authority(tmp_path_factory.mktemp("certificates"))
    root.ec, root.rsa = root.issue("ec", "DNS:a.test"), root.issue("rsa", "DNS:a.test", key="rsa")
    root.named, root.next = root.issue("named", "DNS:b.test"), root.issue("next", "DNS:a.test")
    root.client = root.issue("client", "URI:spiffe://mesh/a")
    return root


def certificate(name, pair, key=None):
    return {"name": name, "tls_certificate": {"certificate_chain": {"inline_string": pair.pem()},
                                              "private_key": {"inline_string": (key or pair).key.read_text()}}}


def tickets(*secrets):
    return {"name": "tickets", "session_ticket_keys": {"keys": [{"inline_bytes": base64.b64encode(secret).decode()} for secret in secrets]}}


def secret(name):
    return {"name": name, "sds_config": ADS}


class Held:
    """A connection that goes on while everything changes around it."""

    def __init__(self, port, context):
        self.socket = context.wrap_socket(socket.create_connection(("127.0.0.1", port), timeout=10), server_hostname="a.test")

    def ask(self):
        self.socket.sendall(b"GET / HTTP/1.1\r\nhost: a.test\r\n\r\n")
        answer = b""
        while not answer.endswith(b"served"):
            more = self.socket.recv(65536)
            assert more, answer
            answer += more
        return True


def shown(port, **fields):
    outcome = visit(port, client_context(pair=fields.pop("pair"), **{k: v for k, v in fields.items() if k != "sni"}), sni=fields.get("sni", "a.test"))
    return common_name(outcome.certificate) if outcome.served else outcome


def test_several_certificates_and_ticket_keys(tmp_path, keys):
    port, admin = free_port(), free_port()
    socket_ = downstream(validation=ca(keys), require_client_certificate=True, session_ticket_keys_sds_secret_config=secret("tickets"),
                         common={"tls_certificate_sds_secret_configs": [secret("ec"), secret("rsa"), secret("named")]})
    del socket_["typed_config"]["common_tls_context"]["tls_certificates"]
    first, second, third = os.urandom(80), os.urandom(80), os.urandom(80)
    with AdsServer() as control:
        control.set(LISTENER, https(port, socket_))
        words = [BIN / "meltemi-proxy", "router", "--plaintext", "--discovery", f"127.0.0.1:{control.port}", "--name", "gate-1", "--ip", "127.0.0.1",
                 "--admin-port", admin, "--status-port", free_port(), "--agent-port", free_port(), "--metrics-port", free_port(), "--concurrency", "1"]
        program = Program(words, tmp_path / "proxy.log")
        try:
            control.set(SECRET, certificate("ec", keys.ec), certificate("rsa", keys.rsa))
            stats = lambda: fetch(f"http://127.0.0.1:{admin}/stats")[1]
            wait_until(lambda: program.assert_runs() is None and "ec" in fetch(f"http://127.0.0.1:{admin}/config_dump")[1], what="the first secrets")
            assert "listener_manager.total_listeners_warming: 1" in stats()  # two secrets are still missing
            control.set(SECRET, certificate("named", keys.named), tickets(first))
            own = {"pair": keys.client}
            wait_until(lambda: visit(port, client_context(**own)).served, what="the listener")
            rsa_only = {"ciphers": "aRSA", "most": TLS12}
            assert [shown(port, **own), shown(port, **own, **rsa_only), shown(port, **own, sni="b.test"), shown(port, **own, sni="c.test")] == ["ec", "rsa", "named", "ec"]

            held, context = Held(port, client_context(**own)), client_context(**own)
            assert held.ask()
            session = visit(port, context).session
            assert visit(port, context, session=session).is_resumed
            # Rotated: what the old key sealed still opens, until it is gone.
            control.set(SECRET, tickets(second, first), certificate("ec", keys.next))
            wait_until(lambda: shown(port, **own) == "next", what="the next certificate")
            assert held.ask()
            outcome = visit(port, context, session=session)
            assert outcome.is_resumed and outcome.served
            control.set(SECRET, tickets(third))
            wait_until(lambda: not visit(port, context, session=outcome.session).is_resumed, what="the old keys to go")
            assert held.ask() and visit(port, context, session=session).served

            # A key of another certificate is refused; what was there stays.
            control.set(SECRET, certificate("ec", keys.ec, key=keys.named))
            wait_until(lambda: control.refusals, what="the refusal")
            assert "private key does not belong to the certificate" in control.refusals[0][1], control.refusals
            control.set(SECRET, {"name": "tickets", "session_ticket_keys": {"keys": [{"inline_string": "short"}]}})
            wait_until(lambda: len(control.refusals) > 1, what="the second refusal")
            assert "keys[0]: 5 bytes, must be 80" in control.refusals[1][1], control.refusals
            assert shown(port, **own) == "next" and held.ask() and "ssl.handshake" in stats()
            held.socket.close()
        finally:
            program.close()
