"""Runs a mesh as an ordinary user for the tests: the real programs, the real sandbox, nothing mocked.

As root the programs run under another uid (setpriv), so that the rootless way is the one tested. Every mesh has a
state directory and a name of its own; ports are chosen by the mesh. Nothing of it is left when the test ends."""
import http.client
import json
import os
import pathlib
import random
import re
import shutil
import socket
import subprocess
import tempfile
import time

from project import ROOT

BIN = pathlib.Path(os.environ.get("MELTEMI_BIN") or ROOT / "build/release/bin")  # those of another build, with sanitizers say
SHARED = ROOT.parent / "shared"
SAMPLES = SHARED / "cases/samples"
IMAGES = ROOT / "samples/images.yaml"
USER_ID = 1500


def free_port():
    """A port that nobody listens on, and that the kernel gives to no outgoing connection before it is used."""
    first_ephemeral = int(pathlib.Path("/proc/sys/net/ipv4/ip_local_port_range").read_text().split()[0])
    while True:
        port = random.SystemRandom().randrange(15100, first_ephemeral)  # Istio's own ports end below
        with socket.socket() as s:
            try:
                s.bind(("0.0.0.0", port))
                return port
            except OSError:
                continue


def as_ordinary_user(command):
    if os.getuid() != 0:
        return list(command)
    return ["setpriv", f"--reuid={USER_ID}", f"--regid={USER_ID}", "--clear-groups", "--inh-caps=-all", "--", *command]


class CommandFailed(Exception):
    def __init__(self, command, result):
        super().__init__(f"{' '.join(map(str, command))}: exit {result.returncode}\n{result.stdout}\n{result.stderr}")
        self.result = result


class Reply:
    def __init__(self, status, body, headers, seconds):
        self.status, self.body, self.headers, self.seconds = status, body, headers, seconds


class Mesh:
    """One mesh under a state directory of its own."""

    def __init__(self, name="test"):
        self.name = name
        self.home = pathlib.Path(tempfile.mkdtemp(prefix="meltemi-test-"))
        if os.getuid() == 0:
            os.chown(self.home, USER_ID, USER_ID)
        self.gateway_port = free_port()
        self.env = {"PATH": os.environ["PATH"], "HOME": str(self.home), "XDG_STATE_HOME": str(self.home / "state"),
                    "XDG_RUNTIME_DIR": str(self.home), "MELTEMI_MESH": name, "LANG": "C.UTF-8", "NO_COLOR": "1"}

    def start(self, *words, timeout=120, **kwargs):
        """Starts `meltemi words…` and returns the process."""
        return subprocess.Popen(as_ordinary_user([str(BIN / "meltemi"), *map(str, words)]), env=self.env, cwd=ROOT, text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, **kwargs)

    def run(self, *words, check=True, timeout=120, stdin=None):
        """`meltemi words…`; returns the completed process, raises CommandFailed unless it succeeded."""
        command = as_ordinary_user([str(BIN / "meltemi"), *map(str, words)])
        result = subprocess.run(command, env=self.env, cwd=ROOT, text=True, capture_output=True, timeout=timeout, input=stdin)
        if check and result.returncode != 0:
            raise CommandFailed(command, result)
        return result

    def up(self, *paths, images=IMAGES, check=True, extra=()):
        return self.run("up", *paths, "--images", images, "--gateway-port", self.gateway_port, *extra, check=check)

    def apply(self, *paths):
        words = []
        for path in paths:
            words += ["-f", path]
        return self.run("apply", *words)

    def delete(self, *paths):
        words = []
        for path in paths:
            words += ["-f", path]
        return self.run("delete", *words)

    def apply_text(self, text):
        return self.run("apply", "-f", "-", stdin=text)

    def delete_text(self, text):
        return self.run("delete", "-f", "-", stdin=text)

    def exec(self, workload, *command, check=True, timeout=60):
        return self.run("exec", workload, "--", *command, check=check, timeout=timeout)

    def get(self, path, port=None, headers=None, host="127.0.0.1", timeout=30, method="GET"):
        """A request to the ingress gateway from outside the mesh."""
        started = time.monotonic()
        connection = http.client.HTTPConnection(host, port or self.gateway_port, timeout=timeout)
        try:
            connection.request(method, path, headers=headers or {})
            answer = connection.getresponse()
            body = answer.read().decode(errors="replace")
            return Reply(answer.status, body, dict(answer.getheaders()), time.monotonic() - started)
        finally:
            connection.close()

    def status(self):
        return json.loads(self.run("status", "-o", "json").stdout)

    def close(self):
        try:
            self.run("down", check=False, timeout=60)
        finally:
            kill_all(self.home)
            shutil.rmtree(self.home, ignore_errors=True)


def processes_of(home):
    """Processes whose environment names this mesh's home."""
    found = []
    for entry in pathlib.Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if f"HOME={home}".encode() in (entry / "environ").read_bytes().split(b"\0"):
                found.append((int(entry.name), (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode().strip()))
        except OSError:
            continue
    return found


def kill_all(home):
    for pid, _ in processes_of(home):
        try:
            os.kill(pid, 9)
        except OSError:
            pass


def wait_until(condition, timeout=15, what="the condition"):
    """Polls `condition` until it returns something true and returns that."""
    deadline = time.monotonic() + timeout
    last = None
    while time.monotonic() < deadline:
        try:
            last = condition()
            if last:
                return last
        except (OSError, http.client.HTTPException, AssertionError, CommandFailed) as error:
            last = error
        time.sleep(0.05)  # a poll interval, not a synchronisation: the deadline decides
    raise AssertionError(f"{what} did not hold within {timeout} s; last: {last!r}")


def stars(page):
    """Which version of reviews a product page shows: v1 none, v2 black, v3 red."""
    if "product reviews!" in page:
        return "error"
    if 'color="red"' in page:
        return "v3"
    if 'color="black"' in page:
        return "v2"
    if "Ratings service is currently unavailable" in page:
        return "no ratings"
    return "v1" if "Book Reviews" in page else "none"


def served_by(page):
    found = re.search(r"<u>([^<]+)</u>", page)
    return found.group(1) if found else None
