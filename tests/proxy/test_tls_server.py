"""TLS servers: versions, ciphers, which certificate, which clients. The same table under Meltemi and under Envoy."""
import ssl
import subprocess

import pytest

from certificates import Authority
from meshes import free_port
from proxies import Proxy
from tls import ca, client_context, common_name, downstream, https, visit

MUTUAL = {"require_client_certificate": True}
TLS12, TLS13 = ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3
ISTIOD_CIPHERS = ["ECDHE-ECDSA-AES256-GCM-SHA384", "ECDHE-RSA-AES256-GCM-SHA384", "ECDHE-ECDSA-AES128-GCM-SHA256",
                  "ECDHE-RSA-AES128-GCM-SHA256", "AES256-GCM-SHA384", "AES128-GCM-SHA256"]

# Envoy has no require_sni yet, and asks nobody for a certificate where it has nothing to judge one by.
STRICTER = "stricter"


def typed(kind, value, how="exact", **fields):
    return {"match_typed_subject_alt_names": [{"san_type": kind, "matcher": {how: value, **fields}}]}


def regex(text):
    return {"safe_regex": {"regex": text}}


class Keys:
    def __init__(self, directory):
        self.root, self.other = Authority(directory), Authority(directory, "other")
        middle = self.middle = Authority(directory, "middle", parent=self.root)
        issue = self.root.issue
        self.server = issue("server", "DNS:a.test")
        self.rsa = issue("rsa", "DNS:a.test", key="rsa")
        self.wild = issue("wild", "DNS:*.wild.test")
        self.exact = issue("exact", "DNS:x.wild.test")
        self.client = issue("client", "URI:spiffe://mesh/ns/a/sa/b,DNS:b.a.test,IP:10.1.2.3,IP:fd00::1,email:a@b.test")
        self.star = issue("star", "DNS:*.a.test")
        self.behind = middle.issue("behind", "URI:spiffe://mesh/ns/a/sa/b")
        self.stranger = self.other.issue("stranger", "URI:spiffe://mesh/ns/a/sa/b")
        self.expired = issue("expired", "URI:spiffe://mesh/ns/a/sa/b", start=-10, end=-2)
        self.early = issue("early", "URI:spiffe://mesh/ns/a/sa/b", start=2, end=9)
        self.serves_only = issue("serves-only", "URI:spiffe://mesh/ns/a/sa/b", usage="serverAuth")
        self.revoked = issue("revoked", "URI:spiffe://mesh/ns/a/sa/b")
        self.root.revoke(self.revoked)
        self.crl = self.root.crl()


def cases(keys):
    """name -> (socket, [(client's arguments, what it sees)]). True = served; a text = served with that version, cipher,
    protocol or certificate; STRICTER = refused here, served by Envoy."""
    root = ca(keys.root)

    def mutual(validation=None, **fields):
        return downstream(keys.server, validation={**root, **(validation or {})}, **MUTUAL, **fields)

    one = downstream(keys.server)
    both = downstream(keys.server, keys.rsa)
    named = downstream(keys.server, keys.wild, keys.exact)
    rsa_only = {"ciphers": "aRSA", "most": TLS12}
    pins = {"verify_certificate_hash": [keys.client.fingerprint()]}
    spki = {"verify_certificate_spki": [keys.client.key_hash()]}
    crl = {"crl": {"inline_string": keys.crl}}
    leaf_crl = {**crl, "only_verify_leaf_cert_crl": True}
    client, table = {"pair": keys.client}, {}

    def case(name, socket, *visits):
        table[name] = (socket, visits)

    case("defaults", one, ({}, "TLSv1.3"), ({"most": TLS12}, "TLSv1.2"), ({"most": ssl.TLSVersion.TLSv1_1}, False),
         ({"most": ssl.TLSVersion.TLSv1}, False), ({"most": TLS12, "ciphers": "AES128-SHA"}, False),
         ({"most": TLS12, "ciphers": "ECDHE-ECDSA-CHACHA20-POLY1305"}, True))
    case("1.3 only", downstream(keys.server, params={"tls_minimum_protocol_version": "TLSv1_3"}), ({}, "TLSv1.3"), ({"most": TLS12}, False))
    case("1.2 only", downstream(keys.server, params={"tls_maximum_protocol_version": "TLSv1_2"}), ({}, "TLSv1.2"), ({"least": TLS13}, False))
    case("istiod's ciphers", downstream(keys.server, params={"cipher_suites": ISTIOD_CIPHERS}), ({"most": TLS12}, "ECDHE-ECDSA-AES256-GCM-SHA384"),
         ({"most": TLS12, "ciphers": "ECDHE-ECDSA-CHACHA20-POLY1305"}, False), ({}, "TLSv1.3"))
    case("one cipher", downstream(keys.server, params={"cipher_suites": ["ECDHE-ECDSA-AES128-GCM-SHA256"]}),
         ({"most": TLS12}, "ECDHE-ECDSA-AES128-GCM-SHA256"), ({"most": TLS12, "ciphers": "ECDHE-ECDSA-AES256-GCM-SHA384"}, False))
    case("FIPS", downstream(keys.server, params={"compliance_policies": ["FIPS_202205"]}), ({"most": TLS12}, "TLSv1.2"),
         ({"most": TLS12, "ciphers": "ECDHE-ECDSA-CHACHA20-POLY1305"}, False))

    case("ECDSA and RSA", both, ({}, "server"), (rsa_only, "rsa"), ({"most": TLS12}, "server"))
    case("RSA and ECDSA", downstream(keys.rsa, keys.server), ({}, "server"), (rsa_only, "rsa"))
    case("names", named, ({"sni": "x.wild.test"}, "exact"), ({"sni": "y.wild.test"}, "wild"), 
         ({"sni": "z.y.wild.test"}, "server"), ({"sni": "a.test"}, "server"), ({"sni": "unknown.test"}, "server"), ({"sni": None}, "server"))
    case("a name is required", downstream(keys.server, keys.wild, require_sni=True), ({"sni": "y.wild.test"}, "wild"),
         ({"sni": "unknown.test"}, STRICTER), ({"sni": None}, STRICTER))
    case("ALPN", downstream(keys.server, alpn=["h2", "http/1.1"]), ({"alpn": ["http/1.1"]}, "http/1.1"), ({"alpn": ["other"]}, True), ({}, True))

    case("a client certificate is required", mutual(), (client, True), ({}, False), ({"pair": keys.stranger}, False), ({"pair": keys.expired}, False),
         ({"pair": keys.early}, False), ({"pair": keys.serves_only}, False), ({"pair": keys.behind}, True), ({**client, "most": TLS12}, True),
         ({"most": TLS12}, False))
    case("a client certificate is optional", downstream(keys.server, validation=root), (client, True), ({}, True), ({"pair": keys.stranger}, False))
    case("any client certificate", downstream(keys.server, **MUTUAL), ({"pair": keys.stranger}, True), ({}, STRICTER))
    case("untrusted are accepted", mutual({"trust_chain_verification": "ACCEPT_UNTRUSTED"}), (client, True), ({"pair": keys.stranger}, True),
         ({}, False))
    case("untrusted with a SAN", mutual({"trust_chain_verification": "ACCEPT_UNTRUSTED", **typed("URI", "spiffe://x")}), (client, True))
    case("expired are accepted", mutual({"allow_expired_certificate": True}), ({"pair": keys.expired}, True), ({"pair": keys.stranger}, False),
         (client, True))

    sans = [(typed("URI", "spiffe://mesh/ns/a/sa/b"), True), (typed("URI", "spiffe://mesh/ns/a/sa"), False), (typed("URI", "spiffe://mesh/", "prefix"), True),
            (typed("URI", "/sa/b", "suffix"), True), (typed("URI", "/ns/a/", "contains"), True), (typed("DNS", "b.a.test"), True),
            (typed("DNS", "c.a.test"), False), (typed("IP_ADDRESS", "10.1.2.3"), True), (typed("IP_ADDRESS", "10.1.2.4"), False),
            (typed("IP_ADDRESS", "fd00::1"), True), (typed("EMAIL", "a@b.test"), True), (typed("URI", "b.a.test"), False),
            (typed("URI", "SPIFFE://mesh/ns/a/sa/b", ignore_case=True), True), (typed("URI", "SPIFFE://mesh/ns/a/sa/b"), False),
            ({"match_typed_subject_alt_names": [{"san_type": "URI", "matcher": regex("spiffe://.*/sa/[ab]")}]}, True),
            ({"match_typed_subject_alt_names": [{"san_type": "URI", "matcher": regex("spiffe://.*/sa")}]}, False),
            ({"match_subject_alt_names": [{"exact": "nobody"}, {"exact": "b.a.test"}]}, True), ({"match_subject_alt_names": [{"exact": "nobody"}]}, False)]
    for number, (rule, served) in enumerate(sans):
        case(f"SAN {number}", mutual(rule), (client, served))
    case("a star is one label", mutual(typed("DNS", "x.a.test")), ({"pair": keys.star}, True))
    case("a star is not two labels", mutual(typed("DNS", "y.x.a.test")), ({"pair": keys.star}, False))

    case("a pinned certificate", mutual(pins), (client, True), ({"pair": keys.behind}, False))
    case("a pinned key", mutual(spki), (client, True), ({"pair": keys.behind}, False))
    case("either pin", mutual({**spki, "verify_certificate_hash": ["ab" * 32]}), (client, True), ({"pair": keys.behind}, False))
    case("a pin alone", downstream(keys.server, validation=pins, **MUTUAL), (client, True), ({"pair": keys.stranger}, False))
    case("revoked", mutual(crl), (client, True), ({"pair": keys.revoked}, False), ({"pair": keys.behind}, False))
    case("revoked, of the leaf only", mutual(leaf_crl), (client, True), ({"pair": keys.revoked}, False))
    case("the root shows itself", downstream(keys.server, validation={"trusted_ca": {"filename": str(keys.client.chain)}}, **MUTUAL),
         (client, True), ({"pair": keys.star}, False))
    return table


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    return Keys(tmp_path_factory.mktemp("certificates"))


def run(directory, table, envoy):
    ports = {name: free_port() for name in table}
    listeners = [https(ports[name], socket) for name, (socket, _) in table.items()]
    wrong = []
    with Proxy(directory, listeners, [], envoy=envoy) as proxy:
        for name, (_, visits) in table.items():
            for arguments, expected in visits:
                fields = dict(arguments)
                sni = fields.pop("sni", "a.test")
                outcome = visit(ports[name], client_context(**fields), sni=sni)
                seen = {outcome.version, outcome.cipher, outcome.alpn, outcome.certificate and common_name(outcome.certificate)}
                expected = envoy if expected is STRICTER else expected
                if outcome.served != bool(expected) or (isinstance(expected, str) and expected not in seen):
                    wrong.append((name, arguments, expected, outcome, seen))
        assert not wrong, "\n".join(map(str, wrong)) + "\n" + proxy.log()[-3000:]


@pytest.mark.parametrize("envoy", [False, True], ids=["meltemi", "envoy"])
def test_who_is_served_and_how(tmp_path, keys, envoy):
    run(tmp_path, cases(keys), envoy)


def s_client(port, *words, keys_pressed=""):
    return subprocess.run(["openssl", "s_client", "-connect", f"127.0.0.1:{port}", *words], input=keys_pressed, capture_output=True, text=True, timeout=20)


def test_no_renegotiation_and_no_weak_suite(tmp_path, keys):
    port = free_port()
    with Proxy(tmp_path, [https(port, downstream(keys.server, keys.rsa))], []) as proxy:
        # "R" at the start of a line asks for a renegotiation.
        said = s_client(port, "-tls1_2", keys_pressed="R\n")
        assert "Secure Renegotiation IS supported" in said.stdout and "Cipher    : ECDHE" in said.stdout
        assert "RENEGOTIATING" in said.stderr + said.stdout and "no renegotiation" in said.stderr, said.stderr
        refused = []
        names = subprocess.run(["openssl", "ciphers", "ALL:COMPLEMENTOFALL:@SECLEVEL=0"], check=True, capture_output=True, text=True).stdout.strip().split(":")
        strong = {f"ECDHE-{kind}-{rest}" for kind in ("ECDSA", "RSA") for rest in ("AES128-GCM-SHA256", "AES256-GCM-SHA384", "CHACHA20-POLY1305")}
        weak = [name for name in names if name not in strong and not name.startswith("TLS_")]
        assert len(weak) > 20
        outcome = visit(port, client_context(most=TLS12, ciphers=":".join(weak)))
        assert not outcome.served and not outcome.cipher, outcome
        for name in strong:
            outcome = visit(port, client_context(most=TLS12, ciphers=name))
            refused += [] if outcome.cipher == name else [(name, outcome)]
        assert not refused, (refused, proxy.log()[-2000:])
