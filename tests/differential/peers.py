"""The four proxies on the same simple configuration: one listener, one origin, connections to it kept alive and shared."""
import os
import shutil
import socket

from meshes import free_port, wait_until
from programs import Program
from proxies import Proxy, cluster, http_manager, listener

HAPROXY = """
global
  tune.bufsize 131072
  tune.http.maxhdr 101
  maxconn 4000
defaults
  mode http
  http-reuse always
  timeout client 20s
  timeout server 20s
  timeout connect 5s
frontend in
  bind 127.0.0.1:{port}
  default_backend origin
backend origin
  server origin 127.0.0.1:{origin}
"""
NGINX = """
daemon off;
{user}
pid {directory}/nginx.pid;
error_log {directory}/nginx.error crit;
worker_processes 1;
events {{ worker_connections 4000; }}
http {{
  access_log off;
  client_body_temp_path {directory}/body;
  proxy_temp_path {directory}/proxy;
  fastcgi_temp_path {directory}/f;
  uwsgi_temp_path {directory}/u;
  scgi_temp_path {directory}/s;
  client_header_buffer_size 64k;
  large_client_header_buffers 4 64k;
  client_max_body_size 0;
  underscores_in_headers on;
  merge_slashes off;
  keepalive_requests 100000;
  upstream origin {{ server 127.0.0.1:{origin}; keepalive 64; keepalive_requests 1000000; }}
  server {{
    listen 127.0.0.1:{port} backlog=1024;
    location / {{
      proxy_pass http://origin;
      proxy_http_version 1.1;
      proxy_request_buffering off;
      proxy_set_header Connection "";
      proxy_set_header Host $http_host;
    }}
  }}
}}
"""


def accepts(port):
    with socket.create_connection(("127.0.0.1", port), timeout=5):
        return True


class Plain:
    """HAProxy or nginx on `text` as their configuration."""

    def __init__(self, directory, name, command, text, port):
        self.name, self.port = name, port
        file = directory / f"{name}.conf"
        file.write_text(text)
        self.program = Program([*command, file], directory / f"{name}.log")
        wait_until(lambda: self.program.assert_runs() is None and accepts(port), what=f"{name} to accept")

    def close(self):
        self.program.close()


def haproxy(directory, origin):
    port = free_port()
    return Plain(directory, "haproxy", [shutil.which("haproxy", path=os.environ["PATH"] + ":/usr/sbin"), "-db", "-f"],
                 HAPROXY.format(port=port, origin=origin), port)


def nginx(directory, origin):
    port = free_port()
    text = NGINX.format(port=port, origin=origin, directory=directory, user="user root;" if os.getuid() == 0 else "")
    return Plain(directory, "nginx", [shutil.which("nginx", path=os.environ["PATH"] + ":/usr/sbin"), "-c"], text, port)


def bootstrapped(directory, origin, envoy):
    port = free_port()
    manager = http_manager(upgrade_configs=[{"upgrade_type": "websocket"}])
    limits = {"circuit_breakers": {"thresholds": [{"max_connections": 4000, "max_pending_requests": 4000, "max_requests": 4000}]}}
    proxy = Proxy(directory, [listener(port, manager)], [cluster(origin, **limits)], envoy=envoy)
    proxy.port = port
    return proxy


MAKERS = {"meltemi": lambda directory, origin: bootstrapped(directory, origin, False),
          "envoy": lambda directory, origin: bootstrapped(directory, origin, True), "haproxy": haproxy, "nginx": nginx}
