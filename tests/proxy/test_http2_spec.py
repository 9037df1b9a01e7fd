"""h2spec, the conformance suite of HTTP/2 and header compression, in full and strictly, against listeners of meltemi-proxy."""
import re
import subprocess

import pytest

from meshes import free_port
from project import ROOT
from proxies import Proxy, cluster, http_manager, listener, typed
from raw_http import Origin

H2SPEC = ROOT / "build/deps/h2spec"
FEW = {"max_concurrent_streams": 100}  # h2spec skips its case of too many streams when that takes long


def downstream_tls(directory, *alpn):
    """A TLS transport socket with a certificate made on the spot."""
    subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2", "-subj",
                    "/CN=localhost", "-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1", "-keyout", directory / "key.pem",
                    "-out", directory / "cert.pem"], check=True, capture_output=True)
    certificate = {"certificate_chain": {"filename": str(directory / "cert.pem")}, "private_key": {"filename": str(directory / "key.pem")}}
    return typed("envoy.transport_sockets.tls", "transport_sockets.tls.v3.DownstreamTlsContext",
                 common_tls_context={"alpn_protocols": list(alpn), "tls_certificates": [certificate]})


@pytest.fixture(scope="module")
def ports(tmp_path_factory):
    directory = tmp_path_factory.mktemp("h2spec")
    plain, tls = free_port(), free_port()
    with Origin({b"/": b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world"}) as origin:  # some cases need five bytes
        listeners = [listener(plain, http_manager(codec_type="HTTP2", http2_protocol_options=FEW)),
                     listener(tls, http_manager(http2_protocol_options=FEW), transport_socket=downstream_tls(directory, "h2", "http/1.1"))]
        with Proxy(directory, listeners, [cluster(origin.port)]) as proxy:
            yield {"plain": (plain,), "tls": (tls, "-t", "-k")}
            proxy.program.assert_runs()


@pytest.mark.parametrize("kind", ["plain", "tls"])
def test_h2spec_strict(ports, kind):
    """`--strict` runs every case of the plain suite and more."""
    port, *flags = ports[kind]
    result = subprocess.run([H2SPEC, "-p", str(port), "--strict", *flags], capture_output=True, text=True, timeout=120)
    passed = re.search(r"(\d+) tests, (\d+) passed, (\d+) skipped, (\d+) failed", result.stdout)
    assert passed, result.stdout[-2000:] + result.stderr
    assert int(passed[1]) >= 146 and passed[3] == passed[4] == "0", result.stdout[result.stdout.find("Failures:"):]
