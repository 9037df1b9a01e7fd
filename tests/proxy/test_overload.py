"""Envoy's overload manager under both programs: what each action does to clients, that it ends with the pressure, and that
memory itself is watched."""
import os
import re
import socket

import pytest

from bulk import IS_SANITIZED
from meshes import free_port, wait_until
from proxies import TYPE, Proxy, RawOrigin, cluster, file_log, http_manager, listener, read_until, refusal
from raw_http2 import GOAWAY, Http2, request

ACTIONS = ["stop_accepting_requests", "disable_http_keepalive", "stop_accepting_connections", "reject_incoming_connections", "reduce_timeouts"]
POINTS = ["tcp_listener_accept", "hcm_ondata_creating_codec", "http_connection_manager_decode_headers", "http2_server_go_away_on_dispatch"]
LEVERS = {name: f"envoy.overload_actions.{name}" for name in ACTIONS} | {name: f"envoy.load_shed_points.{name}" for name in POINTS}
TIMERS = {"@type": "type.googleapis.com/envoy.config.overload.v3.ScaleTimersOverloadActionConfig", "timer_scale_factors": [
    {"timer": "HTTP_DOWNSTREAM_CONNECTION_IDLE", "min_timeout": "0.2s"}, {"timer": "HTTP_DOWNSTREAM_STREAM_IDLE", "min_scale": {"value": 0.1}}]}
REQUEST = b"GET / HTTP/1.1\r\nhost: a\r\n\r\n"
REFUSED = (503, b"envoy overloaded")


def monitor(name, type_name, **fields):
    return {"name": name, "typed_config": {"@type": f"{TYPE}resource_monitors.{type_name}", **fields}}


def serve(connection):
    while read_until(connection, b"\r\n\r\n"):
        connection.sendall(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok")


class Client:
    def __init__(self, port, timeout=10):
        self.socket = socket.create_connection(("127.0.0.1", port), timeout=timeout)

    def ask(self):
        """(status, body, whether the proxy says it will close); None when it closed instead."""
        try:
            self.socket.sendall(REQUEST)
            head, _, body = read_until(self.socket, b"\r\n\r\n").partition(b"\r\n\r\n")
            if not head:
                return None
            while len(body) < int(re.search(rb"content-length: (\d+)", head)[1]):
                body += self.socket.recv(100)
            return int(head.split()[1]), body, b"connection: close" in head
        except ConnectionError:
            return None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.socket.close()


class Pressed:
    """A proxy with a file for each lever: the pressure that presses it."""

    def __init__(self, directory, envoy):
        self.directory, self.port, self.spared = directory, free_port(), free_port()
        for name in LEVERS:
            self.write(name, 0)
        injected = [monitor(name, "injected_resource.v3.InjectedResourceConfig", filename=str(directory / name)) for name in LEVERS]
        triggers = {name: [{"name": name, "scaled": {"scaling_threshold": 0.5, "saturation_threshold": 0.9}}] for name in LEVERS}
        actions = [{"name": LEVERS[name], "triggers": triggers[name]} for name in ACTIONS]
        actions[-1]["typed_config"] = TIMERS
        self.log = directory / "access.log"
        log = file_log(self.log, "%RESPONSE_CODE% %RESPONSE_FLAGS% %RESPONSE_CODE_DETAILS%")
        self.origin = RawOrigin(serve)
        self.proxy = Proxy(
            directory, [listener(self.port, http_manager(access_log=[log])),
                        listener(self.spared, http_manager(stat_prefix="spared"), bypass_overload_manager=True)],
            [cluster(self.origin.port)], envoy=envoy,
            overload_manager={"refresh_interval": "0.02s", "resource_monitors": injected, "actions": actions,
                              "loadshed_points": [{"name": LEVERS[name], "triggers": triggers[name]} for name in POINTS]})

    def write(self, name, pressure):
        new = self.directory / "new"
        new.write_text(str(pressure))
        os.replace(new, self.directory / name)

    def percent(self, name):
        return self.proxy.stats()[f"overload.{LEVERS[name]}.scale_percent"]

    def press(self, name, pressure, percent):
        self.write(name, pressure)
        wait_until(lambda: self.percent(name) == percent, what=f"{name} at {percent} %")

    def close(self):
        self.proxy.close()
        self.origin.close()


@pytest.fixture(scope="module", params=[False, True], ids=["meltemi", "envoy"])
def pressed(tmp_path_factory, request):
    proxy = Pressed(tmp_path_factory.mktemp("pressed"), request.param)
    yield proxy
    proxy.close()


def ask_anew(port):
    with Client(port) as client:
        return client.ask()


# What a new connection's request meets while a lever is pressed in full, and which counter tells.
EFFECTS = {
    "stop_accepting_requests": ((*REFUSED, False), "http.in.downstream_rq_overload_close"),
    "http_connection_manager_decode_headers": ((*REFUSED, False), "http.in.downstream_rq_overload_close"),
    "disable_http_keepalive": ((200, b"ok", True), "http.in.downstream_cx_overload_disable_keepalive"),
    "http2_server_go_away_on_dispatch": ((200, b"ok", True), None),
    "reject_incoming_connections": (None, "listener.127.0.0.1_{port}.downstream_cx_overload_reject"),
    "tcp_listener_accept": (None, "listener.127.0.0.1_{port}.downstream_cx_overload_reject"),
    "hcm_ondata_creating_codec": (None, "http.in.downstream_rq_overload_close"),
}


@pytest.mark.parametrize("lever", EFFECTS)
def test_effect_and_recovery(pressed, lever):
    expected, counter = EFFECTS[lever]
    counter = counter and counter.format(port=pressed.port)
    before = pressed.proxy.stats().get(counter, 0)
    pressed.press(lever, 0.95, 100)
    try:
        wait_until(lambda: ask_anew(pressed.port) == expected, what=f"{lever} to act")
        assert ask_anew(pressed.port) == expected
        assert ask_anew(pressed.spared) == (200, b"ok", False)  # bypass_overload_manager
        if counter:
            assert pressed.proxy.stats()[counter] > before
    finally:
        pressed.press(lever, 0.1, 0)
    wait_until(lambda: ask_anew(pressed.port) == (200, b"ok", False), what="recovery")


def test_refusal_as_it_is_logged(pressed):
    pressed.press("stop_accepting_requests", 0.9, 100)
    wait_until(lambda: ask_anew(pressed.port)[:2] == REFUSED, what="the action")
    wait_until(lambda: "503 - overload" in pressed.log.read_text(), what="the access log")
    pressed.press("stop_accepting_requests", 0, 0)


def test_part_of_the_requests_at_part_of_the_pressure(pressed):
    pressed.press("stop_accepting_requests", 0.7, 50)
    with Client(pressed.port) as client:
        wait_until(lambda: client.ask()[0] == 503, what="the action")
        statuses = [client.ask()[0] for _ in range(200)]
    pressed.press("stop_accepting_requests", 0, 0)
    assert 50 < statuses.count(503) < 150 and statuses.count(200) + statuses.count(503) == 200  # both bounds are 7 sigma off


def test_http2_is_told_to_go(pressed):
    pressed.press("disable_http_keepalive", 0.95, 100)
    wait_until(lambda: ask_anew(pressed.port)[2], what="the action")
    client = Http2(pressed.port)
    client.headers(1, request())
    said = client.until(lambda kind, *_: kind == GOAWAY)
    assert said or pressed.proxy.name == "envoy"  # which closes without a word
    client.close()
    pressed.press("disable_http_keepalive", 0, 0)


def test_connections_wait_while_none_are_accepted(pressed):
    pressed.press("stop_accepting_connections", 0.95, 100)
    with Client(pressed.port) as early:
        wait_until(lambda: waits(early), what="the listener to stop")
    with Client(pressed.port) as client:
        assert waits(client)
        assert ask_anew(pressed.spared) == (200, b"ok", False)
        pressed.press("stop_accepting_connections", 0, 0)
        client.socket.settimeout(10)
        assert read_until(client.socket, b"ok").startswith(b"HTTP/1.1 200")


def waits(client):
    client.socket.settimeout(0.3)
    try:
        client.socket.sendall(REQUEST)
        read_until(client.socket, b"ok")
        return False
    except TimeoutError:
        return True


def test_idle_connections_end_sooner(pressed):
    with Client(pressed.port, timeout=30) as client:
        assert client.ask()[0] == 200
        pressed.press("reduce_timeouts", 0.95, 100)
        assert client.socket.recv(1) == b""  # an hour is the full time
    pressed.press("reduce_timeouts", 0, 0)


HEAP = "envoy.resource_monitors.fixed_heap"
MB = 1024 * 1024


def anonymous_bytes(pid):
    text = open(f"/proc/{pid}/status").read()
    return int(re.search(r"RssAnon:\s+(\d+)", text)[1]) * 1024


@pytest.mark.skipif(IS_SANITIZED, reason="the memory of a sanitized program is its shadow's")
def test_memory_runs_short_and_comes_back(tmp_path):
    """Readers that take nothing make the proxy hold their answers, until it refuses; when they go it serves again."""
    port = free_port()
    big = b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % (8 * MB) + bytes(8 * MB)

    def serve_big(connection):
        if read_until(connection, b"\r\n\r\n"):
            connection.sendall(big)

    with RawOrigin(serve_big) as origin, Proxy(tmp_path, [listener(port, http_manager())], [cluster(origin.port)]) as probe:
        idle = anonymous_bytes(probe.program.process.pid)
    limit = idle + 6 * MB
    overload = {"refresh_interval": "0.05s", "resource_monitors": [monitor(HEAP, "fixed_heap.v3.FixedHeapConfig", max_heap_size_bytes=limit)],
                "actions": [{"name": LEVERS["stop_accepting_requests"], "triggers": [{"name": HEAP, "threshold": {"value": 0.9}}]}]}
    with RawOrigin(serve_big) as origin, Proxy(tmp_path, [listener(port, http_manager())], [cluster(origin.port)], overload_manager=overload) as proxy:
        held, statuses = [], []
        for _ in range(400):
            client = socket.socket()
            client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            client.settimeout(20)
            client.connect(("127.0.0.1", port))
            client.sendall(REQUEST)
            held.append(client)
            statuses.append(client.recv(12))
            if statuses[-1].endswith(b"503"):
                break
        assert statuses[-1] == b"HTTP/1.1 503", (len(statuses), proxy.stats())
        stats = proxy.stats()
        assert stats[f"overload.{HEAP}.pressure"] >= 85 and stats["http.in.downstream_rq_overload_close"] >= 1
        for client in held:
            client.close()
        wait_until(lambda: ask_first_line(port) == b"HTTP/1.1 200", what="memory to come back", timeout=30)
        told = [line for line in proxy.log().splitlines() if "overload:" in line]
        assert len(told) == 1, told  # once a minute, however often it moves


def ask_first_line(port):
    with socket.create_connection(("127.0.0.1", port), timeout=10) as client:
        client.sendall(REQUEST)
        return client.recv(12)


@pytest.mark.parametrize("fields, reason", [
    ({"actions": [{"name": "envoy.overload_actions.reset_high_memory_stream", "triggers": []}]}, "reset_high_memory_stream is not supported"),
    ({"actions": [{"name": LEVERS["stop_accepting_requests"], "triggers": [{"name": "x", "threshold": {"value": 0.9}}]}]}, "no resource monitor is named x"),
    ({"actions": [{"name": LEVERS["stop_accepting_requests"]}]}, "no triggers"),
    ({"loadshed_points": [{"name": "envoy.load_shed_points.http1_server_abort_dispatch", "triggers": []}]}, "http1_server_abort_dispatch is not supported"),
    ({"buffer_factory_config": {"minimum_account_to_track_power_of_two": 20}}, "buffer_factory_config is not supported"),
    ({"resource_monitors": [monitor(HEAP, "fixed_heap.v3.FixedHeapConfig")]}, "max_heap_size_bytes must be above zero"),
])
def test_what_cannot_be_done_is_refused(tmp_path, fields, reason):
    assert reason in refusal(tmp_path, [], [], overload_manager=fields)
