# SPDX-License-Identifier: Apache-2.0
"""What every sample application shares: a threaded HTTP server with a route table, and outgoing calls
that pass on the headers by which a mesh recognises one user's journey."""
import http.client
import json
import os
import signal
import socket
import sys
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

# Passed from the incoming request to every call made on its behalf.
JOURNEY_HEADERS = (
    "x-request-id", "x-b3-traceid", "x-b3-spanid", "x-b3-parentspanid", "x-b3-sampled", "x-b3-flags",
    "x-ot-span-context", "traceparent", "tracestate", "baggage", "end-user", "user-agent", "authorization", "cookie",
)


class Reply:
    def __init__(self, status=200, body=b"", content_type="application/json", headers=()):
        self.status = status
        self.body = body if isinstance(body, bytes) else body.encode()
        self.content_type = content_type
        self.headers = list(headers)


def json_reply(value, status=200, headers=()):
    return Reply(status, json.dumps(value), "application/json", headers)


class Request:
    def __init__(self, handler):
        parts = urlsplit(handler.path)
        self.method = handler.command
        self.path = parts.path
        self.target = handler.path
        self.query = {k: v[-1] for k, v in parse_qs(parts.query, keep_blank_values=True).items()}
        self.headers = handler.headers
        self.peer = handler.client_address[0]
        self.body = handler.read_body()

    def journey(self):
        return {n: self.headers[n] for n in JOURNEY_HEADERS if self.headers.get(n) is not None}

    def form(self):
        return {k: v[-1] for k, v in parse_qs(self.body.decode(errors="replace")).items()}

    def cookie(self, name):
        for part in self.headers.get("cookie", "").split(";"):
            key, _, value = part.strip().partition("=")
            if key == name:
                return value
        return ""


class CallFailed(Exception):
    """A call to another service gave no usable answer; `status` is None when there was none at all."""

    def __init__(self, status, text):
        super().__init__(text)
        self.status = status


def call(host, port, path, headers, timeout_s):
    """GET http://host:port/path; returns the parsed JSON or raises CallFailed."""
    connection = http.client.HTTPConnection(host, port, timeout=timeout_s)
    try:
        connection.request("GET", path, headers=headers)
        answer = connection.getresponse()
        text = answer.read()
    except OSError as error:
        raise CallFailed(None, str(error)) from error
    except http.client.HTTPException as error:
        raise CallFailed(None, repr(error)) from error
    finally:
        connection.close()
    if answer.status != 200:
        raise CallFailed(answer.status, text.decode(errors="replace"))
    try:
        return json.loads(text)
    except ValueError as error:
        raise CallFailed(answer.status, f"not JSON: {error}") from error


def service_address(name, default_port=9080):
    """Where a service is: NAME_HOSTNAME, NAME_SERVICE_PORT and SERVICES_DOMAIN from the environment."""
    domain = os.environ.get("SERVICES_DOMAIN", "")
    host = os.environ.get(f"{name.upper()}_HOSTNAME", name) + (f".{domain}" if domain else "")
    port = os.environ.get(f"{name.upper()}_SERVICE_PORT", "")
    return host, int(port) if port.isdigit() else default_port


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256
    address_family = socket.AF_INET


def serve(port, route, name):
    """Runs `route(Request) -> Reply` until SIGTERM. Prints one line when it listens."""

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        server_version = name
        disable_nagle_algorithm = True

        def read_body(self):
            if self.headers.get("transfer-encoding", "").lower() == "chunked":
                return self.read_chunks()
            length = self.headers.get("content-length", "0")
            return self.rfile.read(int(length)) if length.isdigit() else b""

        def read_chunks(self):
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
            return body

        def answer(self):
            reply = route(Request(self))
            self.send_response(reply.status)
            self.send_header("content-type", reply.content_type)
            self.send_header("content-length", str(len(reply.body)))
            for key, value in reply.headers:
                self.send_header(key, value)
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(reply.body)

        def log_message(self, text, *args):
            sys.stdout.write(f"{self.address_string()} {text % args}\n")
            sys.stdout.flush()

        do_GET = do_POST = do_PUT = do_DELETE = do_PATCH = do_HEAD = do_OPTIONS = answer

    server = _Server(("0.0.0.0", port), Handler)
    signal.signal(signal.SIGTERM, lambda *_: threading.Thread(target=server.shutdown).start())
    signal.signal(signal.SIGINT, signal.getsignal(signal.SIGTERM))
    print(f"{name} listens on {server.server_address[1]}", flush=True)
    server.serve_forever(poll_interval=0.2)


def port_argument(default=9080):
    return int(sys.argv[1]) if len(sys.argv) > 1 else default
