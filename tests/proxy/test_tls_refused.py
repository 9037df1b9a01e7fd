"""What a TLS context asks for and Meltemi cannot do is refused at start, by the path of the field."""
import json
import subprocess

import pytest
import yaml

from certificates import Authority, openssl
from meshes import BIN, free_port
from proxies import at, cluster
from tls import ca, downstream, https, upstream


@pytest.fixture(scope="module")
def keys(tmp_path_factory):
    authority = Authority(tmp_path_factory.mktemp("certificates"))
    authority.server = authority.issue("server", "DNS:a.test")
    authority.second = authority.issue("second", "DNS:b.test")
    return authority


def judge(tmp_path, listeners=(), clusters=()):
    file = tmp_path / "bootstrap.yaml"
    file.write_text(yaml.safe_dump({"admin": {"address": at(free_port())},
                                    "static_resources": {"listeners": list(listeners), "clusters": list(clusters)}}))
    done = subprocess.run([BIN / "meltemi-proxy", "-c", file, "--mode", "validate"], capture_output=True, text=True, timeout=20)
    return done.returncode, done.stdout + done.stderr


def with_certificate(pair, **fields):
    return {"tls_certificates": [{**pair.envoy(), **fields}]}


INLINE = {"inline_string": "x"}
SDS = {"name": "x", "sds_config": {"ads": {}}}


def servers(keys):
    """(socket, what the error must say)"""
    root, pair = ca(keys), keys.server
    server = lambda **fields: downstream(pair, **fields)
    params = lambda **fields: downstream(pair, params=fields)
    validation = lambda **fields: downstream(pair, validation={**root, **fields})
    mixed = {"tls_certificates": [{"certificate_chain": pair.envoy()["certificate_chain"], "private_key": keys.second.envoy()["private_key"]}]}
    return [
        (downstream(), "common_tls_context.tls_certificates"),
        (downstream(common=mixed), "private key does not belong to the certificate"),
        (params(tls_minimum_protocol_version="TLSv1_1"), "common_tls_context: tls_params: tls_minimum_protocol_version: TLS before 1.2"),
        (params(tls_minimum_protocol_version="TLSv1_3", tls_maximum_protocol_version="TLSv1_2"), "above the maximum"),
        (params(cipher_suites=["ECDHE-RSA-AES128-GCM-SHA256", "ECDHE-RSA-AES128-SHA"]), 'cipher_suites[1]: "ECDHE-RSA-AES128-SHA"'),
        (params(cipher_suites=["AES128-GCM-SHA256"]), "cipher_suites: none of them"),
        (params(cipher_suites=["DES-CBC3-SHA"]), 'cipher_suites[0]: "DES-CBC3-SHA"'),
        (params(ecdh_curves=["X25519", "P-521"]), 'ecdh_curves[1]: "P-521"'),
        (params(signature_algorithms=["ecdsa_secp256r1_sha256"]), "tls_params: signature_algorithms"),
        (validation(custom_validator_config={"name": "envoy.tls.cert_validator.spiffe"}), "validation_context: custom_validator_config"),
        (validation(require_signed_certificate_timestamp=True), "require_signed_certificate_timestamp"),
        (validation(watched_directory={"path": "/tmp"}), "validation_context: watched_directory"),
        (validation(system_root_certs={}), "trusted_ca, system_root_certs"),
        (validation(verify_certificate_hash=["abc"]), "verify_certificate_hash[0]"),
        (validation(verify_certificate_spki=["abc"]), "verify_certificate_spki[0]"),
        (validation(crl=INLINE), "CRL holds no PEM block"),
        (validation(match_typed_subject_alt_names=[{"san_type": "OTHER_NAME", "oid": "1.2.3", "matcher": {"exact": "x"}}]),
         "match_typed_subject_alt_names[0]: san_type: OTHER_NAME"),
        (validation(match_typed_subject_alt_names=[{"san_type": "DNS", "matcher": {"safe_regex": {"regex": "("}}}]), "safe_regex"),
        (downstream(pair, validation={"match_subject_alt_names": [{"exact": "a"}]}), "no trusted_ca"),
        (downstream(pair, validation={"crl": INLINE}), "crl is given but no trusted_ca"),
        (downstream(pair, validation={"trusted_ca": INLINE}), "no usable trusted CA"),
        (server(ocsp_staple_policy="MUST_STAPLE"), "ocsp_staple_policy"),
        (server(session_ticket_keys={"keys": [INLINE]}), "session_ticket_keys: keys[0]: 1 bytes, must be 80"),
        (server(common={"alpn_protocols": ["h2", "x" * 256]}), "alpn_protocols[1]"),
        (downstream(common=with_certificate(pair, ocsp_staple=INLINE)), "tls_certificates[0]: ocsp_staple"),
        (downstream(common=with_certificate(pair, password=INLINE, private_key={"inline_string": "x"})), "does not open with the password"),
        (downstream(common={"tls_certificates": [{"pkcs12": INLINE}]}), "tls_certificates[0]: pkcs12"),
        (downstream(common=with_certificate(pair, watched_directory={"path": "/tmp"})), "tls_certificates[0]: watched_directory"),
        (downstream(common=with_certificate(pair, private_key_provider={"provider_name": "x"})), "private_key_provider"),
        (downstream(common={"tls_certificates": [{"certificate_chain": {"filename": "/nowhere/a.pem"}}]}), "cannot read /nowhere/a.pem"),
        (server(common={"custom_handshaker": {"name": "x"}}), "common_tls_context: custom_handshaker"),
        (server(common={"custom_tls_certificate_selector": {"name": "x"}}), "custom_tls_certificate_selector"),
        (server(common={"key_log": {"path": "/tmp/keys"}}), "key_log"),
        (server(common={"tls_certificate_provider_instance": {"instance_name": "x"}}), "tls_certificate_provider_instance"),
    ]


def clients(keys):
    root = ca(keys)
    return [
        (upstream(validation=root, allow_renegotiation=True), "allow_renegotiation"),
        (upstream(auto_sni_san_validation=True), "auto_sni_san_validation: no trusted_ca"),
        (upstream(common={"tls_certificates": [keys.server.envoy(), keys.second.envoy()]}), "only one certificate"),
        (upstream(validation=root, params={"ecdh_curves": ["X448"]}), 'ecdh_curves[0]: "X448"'),
        (upstream(validation={"trusted_ca": {"filename": "/nowhere/ca.pem"}}), "validation_context: trusted_ca: cannot read /nowhere/ca.pem"),
    ]


def test_refused_by_path(tmp_path, keys):
    wrong = []
    for socket, expected in servers(keys):
        code, said = judge(tmp_path, listeners=[https(free_port(), socket)])
        wrong += [] if code == 1 and expected in said else [(expected, code, said)]
    for socket, expected in clients(keys):
        code, said = judge(tmp_path, clusters=[json.loads(json.dumps(cluster(1, transport_socket=socket)))])
        wrong += [] if code == 1 and expected in said else [(expected, code, said)]
    assert not wrong, "\n".join(map(str, wrong))


def test_a_key_with_a_password(tmp_path, keys):
    key = tmp_path / "secret.key"
    openssl("pkcs8", "-topk8", "-in", keys.server.key, "-out", key, "-passout", "pass:open sesame")
    with_password = lambda word: downstream(common=with_certificate(keys.server, private_key={"filename": str(key)}, password={"inline_string": word}))
    assert judge(tmp_path, listeners=[https(free_port(), with_password("open sesame"))])[0] == 0
    code, said = judge(tmp_path, listeners=[https(free_port(), with_password("guess"))])
    assert code == 1 and "tls_certificates[0]: private_key: private key does not open" in said, said
    assert "guess" not in said and "PRIVATE" not in said
