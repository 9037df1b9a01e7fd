"""A step of the wall clock moves no timer: nothing fires early after one forwards, or late after one backwards."""
import shutil
import socket
import subprocess
import time
from email.utils import parsedate_to_datetime

import pytest

from meshes import free_port, wait_until
from proxies import Proxy, RawOrigin, cluster, http_manager, listener, read_until

# Adds the seconds that a file names to CLOCK_REALTIME, for whoever loads it.
SHIM = r"""
#define _GNU_SOURCE
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>
static long step(void) {
  long by = 0;
  FILE* file = fopen(getenv("CLOCK_STEP_FILE"), "r");
  if (file) {
    if (fscanf(file, "%ld", &by) != 1) by = 0;
    fclose(file);
  }
  return by;
}
int clock_gettime(clockid_t clock, struct timespec* to) {
  const int result = (int)syscall(SYS_clock_gettime, clock, to);
  if (result == 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) to->tv_sec += step();
  return result;
}
time_t time(time_t* to) {
  struct timespec now;
  clock_gettime(CLOCK_REALTIME, &now);
  if (to) *to = now.tv_sec;
  return now.tv_sec;
}
int gettimeofday(struct timeval* to, void* zone) {
  struct timespec now;
  (void)zone;
  clock_gettime(CLOCK_REALTIME, &now);
  to->tv_sec = now.tv_sec;
  to->tv_usec = now.tv_nsec / 1000;
  return 0;
}
"""
HOUR = 3600
ROUTES = [{"match": {"prefix": "/patient"}, "route": {"cluster": "origin", "timeout": "60s"}},
          {"match": {"prefix": "/"}, "route": {"cluster": "origin", "timeout": "0.5s"}}]


class Client:
    def __init__(self, port):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=20)

    def ask(self, path):
        self.socket.sendall(b"GET %s HTTP/1.1\r\nHost: a\r\n\r\n" % path.encode())

    def head(self):
        head = read_until(self.socket, b"\r\n\r\n")
        size = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
        body = head.partition(b"\r\n\r\n")[2]
        while len(body) < size:
            body += self.socket.recv(4096)
        return head


def test_timers_do_not_follow_the_wall_clock(tmp_path):
    compiler = shutil.which("clang-19") or shutil.which("cc")
    if compiler is None:
        pytest.skip("no C compiler")
    (tmp_path / "shim.c").write_text(SHIM)
    subprocess.run([compiler, "-shared", "-fPIC", "-o", tmp_path / "shim.so", tmp_path / "shim.c"], check=True)
    step, gates = tmp_path / "step", []
    step.write_text("0")

    def serve(connection):
        while head := read_until(connection, b"\r\n\r\n"):
            if b"/ok" not in head:
                gates.append(connection)
                return read_until(connection, b"never")
            connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        return None
    port, env = free_port(), {"LD_PRELOAD": str(tmp_path / "shim.so"), "CLOCK_STEP_FILE": str(step)}
    manager = http_manager(ROUTES, stream_idle_timeout="60s", common_http_protocol_options={"idle_timeout": "60s"})
    with RawOrigin(serve) as origin, Proxy(tmp_path, [listener(port, manager)], [cluster(origin.port)], env=env) as proxy:
        idle, waiting = Client(port), Client(port)
        idle.ask("/ok")
        first = idle.head()
        waiting.ask("/patient")
        wait_until(lambda: gates, what="the request at the origin")
        for by in (HOUR, -HOUR):
            step.write_text(str(by))
            hurried, began = Client(port), time.monotonic()
            hurried.ask("/hurried")
            assert hurried.head().startswith(b"HTTP/1.1 504") and time.monotonic() - began >= 0.45  # neither at once nor an hour late
            idle.ask("/ok")
            answer = idle.head()
            assert answer.startswith(b"HTTP/1.1 200"), answer
            if by > 0:
                date_moves(first, idle)
        gates[0].sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        assert waiting.head().startswith(b"HTTP/1.1 200")
        proxy.program.assert_runs()


def date_of(head):
    return parsedate_to_datetime(head.split(b"date: ")[1].split(b"\r\n")[0].decode()).timestamp()


def date_moves(first, client):
    """The Date of answers follows the new time: proof that the step was seen at all."""
    def holds():
        client.ask("/ok")
        return date_of(client.head()) - date_of(first) > HOUR - 60
    wait_until(holds, what="the date of answers to follow the clock")
