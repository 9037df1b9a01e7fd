"""Bodies stream within bounded memory, however slowly either side reads: HTTP/1, HTTP/2, TLS, TCP, both directions."""
import asyncio
import ssl
import zlib

import pytest

from bulk import IS_SANITIZED, BulkServer, Memory, checksum, http2_client, self_signed, slow_reader
from meshes import free_port
from proxies import Proxy, cluster, http2_upstream, http_manager, listener, tcp_proxy

MB = 1024 * 1024
READERS = 200 if IS_SANITIZED else 1000
LIMIT = 64 * MB  # for 1000 slow readers of 1 MB each
# The most one reader holds when its body is larger than the kernel's buffers: an output that a full socket left, one that fills
# behind it (64 KiB each), and a block of input (16 KiB) on either side.
FULL = (2 * 64 + 2 * 16) * 1024
PATIENT = [{"match": {"prefix": "/"}, "route": {"cluster": "origin", "timeout": "0s"}}]
PLENTY = {"circuit_breakers": {"thresholds": [{"max_connections": 4000, "max_pending_requests": 4000, "max_requests": 4000}]}}


def assert_bounded(memory, readers):
    print(f"{readers} readers: {memory.most / MB:.1f} MB")
    if not IS_SANITIZED:  # memory of a sanitized program is its shadow's
        limit = min(LIMIT, readers * FULL)
        assert memory.most < limit, f"{memory.most / MB:.1f} MB for {readers}"


class Bed:
    """An origin, a proxy in front of it with one listener per kind, and the proxy's memory."""

    def __init__(self, directory, certificate=None, **origin):
        self.directory, self.certificate, self.origin_options = directory, certificate, origin

    async def __aenter__(self):
        self.origin = await BulkServer(**self.origin_options).start()
        self.http, self.tcp, self.tls, self.mesh = free_port(), free_port(), free_port(), free_port()
        hop = [{"match": {"prefix": "/"}, "route": {"cluster": "hop", "timeout": "0s"}}]
        listeners = [listener(self.http, http_manager(PATIENT)), listener(self.tcp, tcp_proxy()), listener(self.mesh, http_manager(hop))]
        if self.certificate:
            listeners.append(listener(self.tls, http_manager(PATIENT), transport_socket=self.certificate))
        self.proxy = await asyncio.to_thread(Proxy, self.directory, listeners, [
            cluster(self.origin.port, **PLENTY), cluster(self.http, "hop", typed_extension_protocol_options=http2_upstream(), **PLENTY)])
        self.pid = self.proxy.program.process.pid
        return self

    async def __aexit__(self, *_):
        await asyncio.to_thread(self.proxy.close)
        self.origin.close()


async def read_slowly(bed, port, count, tls=None, size=MB):
    """All ask for `size` and read nothing until nothing moves; then some leave and some read to the end."""
    warm = await slow_reader(port, get(1000), tls=tls)
    await finish([warm], 1000)
    memory = Memory(bed.pid)
    readers = []
    for start in range(0, count, 100):
        readers += await asyncio.gather(*(slow_reader(port, get(size), tls=tls) for _ in range(min(100, count - start))))
    sent = await memory.while_moving(lambda: bed.origin.sent)
    assert size == MB or sent < 0.8 * count * size  # the kernel's buffers may take most of 1 MB
    for reader in readers[count // 10:]:
        reader.transport.abort()
    await finish(readers[:count // 10], size)
    memory.growth()
    return memory


def get(size):
    return b"GET /bytes/%d HTTP/1.1\r\nHost: a\r\n\r\n" % size


async def finish(readers, size):
    expected = checksum(size)
    for reader in readers:
        reader.wanted = size
        reader.transport.resume_reading()
    await asyncio.wait_for(asyncio.gather(*(reader.ended for reader in readers)), 120)
    assert {(reader.size, reader.crc) for reader in readers} == {(size, expected)}
    for reader in readers:
        reader.transport.abort()


def test_a_thousand_slow_readers_of_http1(tmp_path):
    async def run():
        async with Bed(tmp_path) as bed:
            assert_bounded(await read_slowly(bed, bed.http, READERS), READERS)
    asyncio.run(run())


def test_slow_readers_of_more_than_the_kernel_holds(tmp_path):
    async def run():
        async with Bed(tmp_path) as bed:
            count = READERS // 20
            assert_bounded(await read_slowly(bed, bed.http, count, size=12 * MB), count)
    asyncio.run(run())


def test_slow_readers_behind_tcp_proxy(tmp_path):
    async def run():
        async with Bed(tmp_path) as bed:
            assert_bounded(await read_slowly(bed, bed.tcp, READERS // 20, size=12 * MB), READERS // 20)
    asyncio.run(run())


def test_slow_readers_over_tls(tmp_path):
    async def run():
        async with Bed(tmp_path, self_signed(tmp_path)) as bed:
            context = ssl.create_default_context()
            context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
            assert_bounded(await read_slowly(bed, bed.tls, READERS // 20, context, 12 * MB), READERS // 20)
    asyncio.run(run())


def test_a_thousand_slow_streams_of_http2(tmp_path):
    async def run():
        async with Bed(tmp_path) as bed:
            warm = await http2_client(bed.http)
            warm.ask(1, b"/bytes/1000")
            await warm.until(lambda: warm.streams[1][2])
            memory = Memory(bed.pid)
            clients = [await http2_client(bed.http) for _ in range(READERS // 100)]
            streams = range(1, 201, 2)
            for client in clients:
                for stream in streams:
                    client.ask(stream, b"/bytes/%d" % MB, held=True)
            await memory.while_moving(lambda: bed.origin.sent + sum(at[0] for client in clients for at in client.streams.values()))
            assert {at[0] for client in clients for at in client.streams.values()} == {65535}
            for client in clients[2:]:
                client.transport.abort()
            for client in clients[:2]:
                client.release()
            expected = [MB, checksum(MB), True]
            for client in clients[:2]:
                await client.until(lambda: all(at[2] for at in client.streams.values()))  # noqa: B023
                assert all(at == expected for at in client.streams.values())
            memory.growth()
            assert_bounded(memory, READERS)
    asyncio.run(run())


def test_a_slow_stream_does_not_hold_up_its_neighbour(tmp_path):
    async def run():
        async with Bed(tmp_path) as bed:
            client = await http2_client(bed.http)
            client.ask(1, b"/bytes/%d" % (8 * MB), held=True)
            await client.until(lambda: client.streams[1][0] == 65535)
            for stream in (3, 5, 7):
                client.ask(stream, b"/chunked/%d" % (8 * MB))
            await client.until(lambda: all(client.streams[stream][2] for stream in (3, 5, 7)))
            assert all(client.streams[stream] == [8 * MB, checksum(8 * MB), True] for stream in (3, 5, 7))
            assert client.streams[1][0] == 65535
            client.release()
            await client.until(lambda: client.streams[1][2])
            assert client.streams[1] == [8 * MB, checksum(8 * MB), True]
    asyncio.run(run())


def test_slow_readers_behind_http2_between_proxies(tmp_path):
    """HTTP/1.1 at the edges, HTTP/2 between, as in a mesh: both hops are in the figure."""
    async def run():
        async with Bed(tmp_path) as bed:
            assert_bounded(await read_slowly(bed, bed.mesh, READERS // 2), READERS // 2)
    asyncio.run(run())


def test_slow_readers_leave_room_on_a_shared_upstream_connection(tmp_path):
    async def run():
        async with Bed(tmp_path) as bed:
            size = 12 * MB
            slow = [await slow_reader(bed.mesh, get(size)) for _ in range(100)]  # 100 windows of streams are 6.4 MB of the connection's 8
            await Memory(bed.pid).while_moving(lambda: bed.origin.sent)
            assert not any(reader.size for reader in slow)
            await finish([await slow_reader(bed.mesh, get(size))], size)
            for reader in slow[5:]:
                reader.transport.abort()
            await finish(slow[:5], size)
    asyncio.run(run())


@pytest.mark.parametrize("framing, way", [("content-length", "http"), ("chunked", "http"), ("content-length", "mesh"), ("chunked", "tcp")])
def test_a_slow_origin_bounds_uploads(tmp_path, framing, way):
    async def run():
        async with Bed(tmp_path, receive_buffer=4096) as bed:
            memory = Memory(bed.pid)
            bed.origin.gate.clear()
            count, size = READERS // 40, 8 * MB
            is_chunked = framing == "chunked"
            field = b"transfer-encoding: chunked" if is_chunked else b"content-length: %d" % size
            writers = [await slow_reader(getattr(bed, way), b"POST /sink HTTP/1.1\r\nHost: a\r\n%s\r\n\r\n" % field) for _ in range(count)]
            pumps = [asyncio.ensure_future(writer.send_body(size, is_chunked)) for writer in writers]
            await memory.while_moving(lambda: sum(writer.sent for writer in writers))
            stuck = sum(writer.sent < size for writer in writers)
            assert stuck > count // 2, f"{stuck} of {count} were held back"  # the kernel's buffers may grow to more than 8 MB for a few
            bed.origin.gate.set()
            report = b"%d %d" % (size, checksum(size))
            for writer in writers:
                writer.wanted = len(report)
                writer.transport.resume_reading()
            await asyncio.wait_for(asyncio.gather(*pumps, *(writer.ended for writer in writers)), 120)
            assert {writer.crc for writer in writers} == {zlib.crc32(report)}
            memory.growth()
            assert_bounded(memory, count * (2 if way == "mesh" else 1))  # the mesh is two hops of this one process
            for writer in writers:
                writer.transport.abort()
    asyncio.run(run())
