"""gRPC through meltemi-proxy with grpcio at both ends: unary, streams both ways, large messages, deadlines, cancellation,
statuses, and what the proxy itself says to a gRPC client."""
import threading
from concurrent import futures

import grpc
import pytest

from meshes import free_port
from proxies import Proxy, cluster, http2_upstream, http_manager, listener
from raw_http import Origin

LARGE = 3_000_000


class Service(grpc.GenericRpcHandler):
    """/test.S/METHOD over bytes."""

    def __init__(self):
        self.cancelled, self.started, self.deadlines = threading.Event(), threading.Event(), []

    def service(self, details):
        method = details.method.rpartition("/")[2]
        kinds = {"Unary": grpc.unary_unary_rpc_method_handler, "Fail": grpc.unary_unary_rpc_method_handler,
                 "Wait": grpc.unary_unary_rpc_method_handler, "Down": grpc.unary_stream_rpc_method_handler,
                 "Up": grpc.stream_unary_rpc_method_handler, "Both": grpc.stream_stream_rpc_method_handler,
                 "FailLate": grpc.unary_stream_rpc_method_handler}
        return kinds[method](getattr(self, method.lower())) if method in kinds else None

    def unary(self, request, context):
        context.send_initial_metadata((("x-first", "1"), ("x-bytes-bin", b"\0\xff")))
        context.set_trailing_metadata((("x-last", "2"), ("x-echo", dict(context.invocation_metadata()).get("x-sent", ""))))
        return request

    def fail(self, request, context):
        context.set_trailing_metadata((("x-why", "because"),))
        context.abort(grpc.StatusCode.FAILED_PRECONDITION, "no, über")

    def faillate(self, request, context):
        yield b"one"
        context.abort(grpc.StatusCode.DATA_LOSS, "later")

    def wait(self, request, context):
        self.deadlines.append(context.time_remaining())
        context.add_callback(self.cancelled.set)
        self.started.set()
        self.cancelled.wait(20)
        return b""

    def down(self, request, context):
        for i in range(int(request)):
            yield b"%d" % i

    def up(self, requests, context):
        return b"%d" % sum(len(request) for request in requests)

    def both(self, requests, context):
        for request in requests:
            yield request.upper()


@pytest.fixture(scope="module")
def setup(tmp_path_factory):
    service = Service()
    server = grpc.server(futures.ThreadPoolExecutor(8), options=[("grpc.max_receive_message_length", -1)])
    server.add_generic_rpc_handlers((service,))
    origin_port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    port, nowhere = free_port(), free_port()
    routes = [{"match": {"prefix": "/none."}, "route": {"cluster": "nowhere"}},
              {"match": {"prefix": "/plain."}, "route": {"cluster": "plain"}},
              {"match": {"prefix": "/test."}, "route": {"cluster": "origin", "timeout": "0s"}}]
    clusters = [cluster(origin_port, typed_extension_protocol_options=http2_upstream()),
                cluster(nowhere, "nowhere", typed_extension_protocol_options=http2_upstream())]
    with Origin({b"/plain.S/Unary": b"HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"}) as plain:
        with Proxy(tmp_path_factory.mktemp("grpc"), [listener(port, http_manager(routes))],
                   [*clusters, cluster(plain.port, "plain")]) as proxy:
            with grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.max_receive_message_length", -1)]) as channel:
                yield proxy, service, channel
    server.stop(0)


def test_unary_with_metadata(setup):
    _, _, channel = setup
    reply, call = channel.unary_unary("/test.S/Unary").with_call(b"hello", metadata=(("x-sent", "3"),), timeout=10)
    assert reply == b"hello"
    assert dict(call.initial_metadata())["x-first"] == "1" and dict(call.initial_metadata())["x-bytes-bin"] == b"\0\xff"
    assert dict(call.trailing_metadata())["x-last"] == "2" and dict(call.trailing_metadata())["x-echo"] == "3"


def test_many_at_once(setup):
    _, _, channel = setup
    calls = [channel.unary_unary("/test.S/Unary").future(b"%d" % i, timeout=20) for i in range(300)]
    assert [call.result() for call in calls] == [b"%d" % i for i in range(300)]


@pytest.mark.parametrize("size", [0, 1, 65_535, LARGE])
def test_sizes(setup, size):
    _, _, channel = setup
    message = bytes(i % 251 for i in range(1000)) * (size // 1000) + b"x" * (size % 1000)
    assert channel.unary_unary("/test.S/Unary")(message, timeout=20) == message


def test_streams(setup):
    _, _, channel = setup
    assert list(channel.unary_stream("/test.S/Down")(b"1000", timeout=20)) == [b"%d" % i for i in range(1000)]
    assert channel.stream_unary("/test.S/Up")(iter([b"x" * 1000] * 3000), timeout=20) == b"3000000"


def test_conversation(setup):
    """Each message is answered before the next one is sent: nothing waits in the middle."""
    _, _, channel = setup
    answered = threading.Semaphore(1)

    def ask():
        for i in range(50):
            assert answered.acquire(timeout=10)
            yield b"m%d" % i

    answers = []
    for answer in channel.stream_stream("/test.S/Both")(ask(), timeout=20):
        answers.append(answer)
        answered.release()
    assert answers == [b"M%d" % i for i in range(50)]


def failure(call):
    with pytest.raises(grpc.RpcError) as raised:
        result = call()
        list(result)
    return raised.value


def test_statuses(setup):
    _, _, channel = setup
    error = failure(lambda: channel.unary_unary("/test.S/Fail")(b"", timeout=10))  # trailers-only
    assert (error.code(), error.details()) == (grpc.StatusCode.FAILED_PRECONDITION, "no, über")
    assert dict(error.trailing_metadata())["x-why"] == "because"
    error = failure(lambda: channel.unary_stream("/test.S/FailLate")(b"", timeout=10))
    assert (error.code(), error.details()) == (grpc.StatusCode.DATA_LOSS, "later")
    assert failure(lambda: channel.unary_unary("/test.S/Unheard")(b"", timeout=10)).code() == grpc.StatusCode.UNIMPLEMENTED


def test_what_the_proxy_says(setup):
    """404 → UNIMPLEMENTED, 503 → UNAVAILABLE, as a trailers-only answer; an HTTP/1 origin's 403 → PERMISSION_DENIED by the client's
    own rule."""
    _, _, channel = setup
    for path, code in (("/other.S/Unary", grpc.StatusCode.UNIMPLEMENTED), ("/none.S/Unary", grpc.StatusCode.UNAVAILABLE),
                       ("/plain.S/Unary", grpc.StatusCode.PERMISSION_DENIED)):
        assert failure(lambda: channel.unary_unary(path)(b"", timeout=10)).code() == code, path


def test_deadlines_reach_the_server_and_end_there(setup):
    _, service, channel = setup
    service.cancelled.clear()
    service.started.clear()
    service.deadlines.clear()
    error = failure(lambda: channel.unary_unary("/test.S/Wait")(b"", timeout=1))
    assert error.code() == grpc.StatusCode.DEADLINE_EXCEEDED
    assert service.cancelled.wait(10) and 0 < service.deadlines[0] < 1.5


def test_cancellation_reaches_the_server(setup):
    _, service, channel = setup
    service.cancelled.clear()
    service.started.clear()
    call = channel.unary_unary("/test.S/Wait").future(b"", timeout=20)
    assert service.started.wait(10)
    call.cancel()
    assert service.cancelled.wait(10)
    assert channel.unary_unary("/test.S/Unary")(b"still there", timeout=10) == b"still there"


def test_a_client_that_leaves_in_the_middle_of_a_stream(setup):
    _, _, channel = setup
    stream = channel.unary_stream("/test.S/Down")(b"100000", timeout=20)
    assert next(stream) == b"0"
    stream.cancel()
    assert channel.unary_unary("/test.S/Unary")(b"x", timeout=10) == b"x"
