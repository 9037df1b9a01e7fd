"""Bodies of hundreds of megabytes arrive as they were sent, between every pair of HTTP/1.1 and HTTP/2, down and up."""
import hashlib
import os
import shutil
import subprocess

import pytest

from bulk import IS_SANITIZED
from meshes import free_port
from proxies import Proxy, cluster, http2_upstream, http_manager, listener

SIZE = (40 if IS_SANITIZED else 128) * 1024 * 1024
NGINX = """
daemon off;
{user}
pid {directory}/nginx.pid;
error_log {directory}/nginx.error crit;
events {{ }}
http {{
  access_log off;
  client_max_body_size 0;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/p;
  fastcgi_temp_path {directory}/f;
  uwsgi_temp_path {directory}/u;
  scgi_temp_path {directory}/s;
  server {{
    listen 127.0.0.1:{one};
    listen 127.0.0.1:{two} http2;
    root {directory}/www;
    location /put/ {{ dav_methods PUT DELETE; create_full_put_path on; }}
  }}
}}
"""


@pytest.fixture(scope="module")
def bed(tmp_path_factory):
    directory = tmp_path_factory.mktemp("large")
    (directory / "www/put").mkdir(parents=True)
    if os.getuid() == 0:
        os.chmod(directory, 0o755)
    block = os.urandom(1024 * 1024 + 7)
    with open(directory / "www/large", "wb") as file:
        for _ in range(SIZE // len(block)):
            file.write(block)
    ports = {"http1": free_port(), "http2": free_port(), "to-http1": free_port(), "to-http2": free_port()}
    text = NGINX.format(directory=directory, one=ports["http1"], two=ports["http2"], user="user root;" if os.getuid() == 0 else "")
    (directory / "nginx.conf").write_text(text)
    nginx = subprocess.Popen([shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"), "-c", directory / "nginx.conf"])
    routes = [{"match": {"prefix": "/"}, "route": {"cluster": name, "timeout": "0s"}} for name in ("one", "two")]
    clusters = [cluster(ports["http1"], "one"), cluster(ports["http2"], "two", typed_extension_protocol_options=http2_upstream())]
    listeners = [listener(ports["to-http1"], http_manager(routes[:1])), listener(ports["to-http2"], http_manager(routes[1:]))]
    with Proxy(directory, listeners, clusters) as proxy:
        yield directory, ports, proxy
    nginx.terminate()
    nginx.wait()
    shutil.rmtree(directory)


def digest(file):
    with open(file, "rb") as opened:
        return hashlib.file_digest(opened, "blake2b").hexdigest()


def curl(port, version, path, *words):
    flag = "--http2-prior-knowledge" if version == "http2" else "--http1.1"
    result = subprocess.run(["curl", "-sS", "--fail", flag, *words, f"http://127.0.0.1:{port}{path}"], capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr


@pytest.mark.parametrize("upstream", ["http1", "http2"])
@pytest.mark.parametrize("downstream", ["http1", "http2"])
def test_both_ways(bed, downstream, upstream):
    directory, ports, _ = bed
    port, expected = ports["to-" + upstream], digest(directory / "www/large")
    curl(port, downstream, "/large", "-o", directory / "got")
    assert digest(directory / "got") == expected
    for framing in [[], ["-H", "transfer-encoding: chunked"]] if downstream == "http1" else [[]]:
        target = directory / "www/put" / f"{downstream}-{upstream}-{len(framing)}"
        curl(port, downstream, f"/put/{target.name}", "-T", directory / "www/large", *framing)
        assert digest(target) == expected
        target.unlink()
