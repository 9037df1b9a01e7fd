"""Single programs for tests that need less than a mesh: a control plane over a directory, a workload on an address of
its own, a stock Envoy."""
import http.client
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import tempfile
import urllib.error
import urllib.request

from meshes import BIN, as_ordinary_user, free_port, wait_until
from project import ROOT

ENVOY = ROOT / "build/deps/envoy"


class Program:
    """A process with its output in a file; ends when closed."""

    def __init__(self, command, log, as_user=False, **kwargs):
        self.log = pathlib.Path(log)
        self.out = self.log.open("ab")
        self.process = subprocess.Popen(as_ordinary_user(map(str, command)) if as_user else [str(word) for word in command],
                                        stdout=self.out, stderr=subprocess.STDOUT, **kwargs)

    def text(self):
        return self.log.read_text(errors="replace")

    def assert_runs(self):
        assert self.process.poll() is None, f"ended with {self.process.returncode}:\n{self.text()[-4000:]}"

    def kill(self):
        self.process.kill()
        self.process.wait()

    def close(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=15)
            except subprocess.TimeoutExpired:
                self.kill()
        self.out.close()


def fetch(url, timeout=15, data=None, headers=None):
    """(status, text) of a request."""
    request = urllib.request.Request(url, data=data, headers=headers or {})
    try:
        with urllib.request.urlopen(request, timeout=timeout) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


class ControlPlane:
    """meltemid on ports of its own; start() again after kill() is a restart with the same ports."""

    def __init__(self, tmp_path, *flags, env=None):
        self.directory = tmp_path
        self.plaintext, self.discovery, self.monitoring = free_port(), free_port(), free_port()
        self.flags, self.env = flags, env
        self.program = None

    def command(self):
        return [BIN / "meltemid", "--plaintext-address", f"127.0.0.1:{self.plaintext}", "--discovery-address",
                f"127.0.0.1:{self.discovery}", "--monitoring-address", f"127.0.0.1:{self.monitoring}", *self.flags]

    def start(self):
        self.program = Program(self.command(), self.directory / "meltemid.log", env=self.env)
        wait_until(lambda: self.program.assert_runs() is None and fetch(self.url("/ready"))[0] == 200, what="meltemid to be ready")
        return self

    def url(self, path):
        return f"http://127.0.0.1:{self.monitoring}{path}"

    def json(self, path):
        status, text = fetch(self.url(path))
        assert status == 200, f"{path}: {status} {text}"
        return json.loads(text)

    def metrics(self):
        return dict(re.findall(r"^(\S+(?:\{[^}]*\})?) ([0-9.e+]+)$", fetch(self.url("/metrics"))[1], re.M))

    def kill(self):
        self.program.kill()

    def close(self):
        if self.program:
            self.program.close()


def write(directory, name, text):
    """Replaces a file at once, as a careful editor does."""
    with tempfile.NamedTemporaryFile("w", dir=directory, prefix=".", delete=False) as file:
        file.write(text)
    os.chmod(file.name, 0o644)
    os.rename(file.name, pathlib.Path(directory) / name)


class UnixConnection(http.client.HTTPConnection):
    def __init__(self, path, timeout=15):
        super().__init__("localhost", timeout=timeout)
        self.path = str(path)

    def connect(self):
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self.path)


class Api:
    """The Kubernetes-shaped API on its Unix socket."""

    def __init__(self, path):
        self.path = path

    def call(self, method, url, body=None, content_type="application/json"):
        """(status, decoded answer)."""
        connection = UnixConnection(self.path)
        try:
            connection.request(method, url, body=None if body is None else json.dumps(body), headers={"content-type": content_type})
            answer = connection.getresponse()
            text = answer.read().decode()
            return answer.status, json.loads(text) if text else None
        finally:
            connection.close()

    def create(self, url, body):
        status, answer = self.call("POST", url, body)
        assert status == 201, f"{url}: {status} {answer}"
        return answer

    def list(self, url):
        status, answer = self.call("GET", url)
        assert status == 200, f"{url}: {status} {answer}"
        return answer
