"""Sends the cases through all proxies at once and keeps what came of them."""
import asyncio
import contextlib
import re

import grammar
import origin
import strict

AT_ONCE = 120
QUIET_SECONDS = 1.5  # without an answer and without an end: our half is closed, which ends every wait
END_SECONDS = 10  # a failure limit: a proxy that has not ended by then hangs


class Client(asyncio.Protocol):
    def __init__(self):
        self.answer, self.ended = bytearray(), asyncio.get_running_loop().create_future()

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.answer += data

    def connection_lost(self, _):
        if not self.ended.done():
            self.ended.set_result(None)

    async def ends_within(self, seconds):
        await asyncio.wait([self.ended], timeout=seconds)
        return self.ended.done()


async def send(port, pieces):
    """(answer, whether the proxy ended by itself in time)"""
    loop = asyncio.get_running_loop()
    transport, client = await loop.create_connection(Client, "127.0.0.1", port)
    for n, piece in enumerate(pieces):
        if n:
            await asyncio.sleep(0.002)  # apart, so that the proxy mostly reads them apart; nothing depends on it
        if not transport.is_closing():
            transport.write(piece)
    length = -1
    while length != len(client.answer):
        length = len(client.answer)
        if await client.ends_within(QUIET_SECONDS):
            return bytes(client.answer), True
    with contextlib.suppress(OSError):  # it may have been reset a moment ago
        transport.write_eof()
    ended = await client.ends_within(END_SECONDS)
    transport.abort()
    return bytes(client.answer), ended


class Answer:
    def __init__(self, status, fields, body):
        self.status, self.fields, self.body = status, fields, body

    @property
    def is_from_origin(self):
        return b"x-origin" in self.fields


def take_body(data, fields, has_none):
    if has_none:
        return b"", data
    if fields.get(b"transfer-encoding", b"") == b"chunked":
        reader = strict.Reader()
        reader.current, reader.state = strict.Message(), "chunk"
        reader.current.closes = True
        reader.feed(data)
        if reader.error or not reader.current.complete:
            raise strict.Malformed(f"chunked answer: {reader.error or 'cut off'}")
        return bytes(reader.current.body), bytes(reader.buffer)
    if b"content-length" in fields:
        length = int(fields[b"content-length"])
        if len(data) < length:
            raise strict.Malformed("answer is cut off")
        return data[:length], data[length:]
    return data, b""


def answers_in(data, methods):
    """Final answers in order; raises Malformed."""
    found = []
    while data:
        head, mark, rest = data.partition(b"\r\n\r\n")
        lines = strict.lines_of(head + mark) if mark else []
        status = re.fullmatch(rb"HTTP/1\.[01] ([1-5][0-9][0-9]) .*", lines[0]) if lines else None
        if not status:
            raise strict.Malformed(f"no answer: {data[:80]!r}")
        code, fields = int(status[1]), dict(strict.fields_of(lines[1:]))
        data = rest
        if code >= 200:
            method = methods[len(found)] if len(found) < len(methods) else b"GET"
            body, data = take_body(data, fields, method == b"HEAD" or code in (204, 304))
            found.append(Answer(code, fields, body))
    return found


class Outcome:
    def __init__(self, case):
        self.case, self.reference, self.answers, self.hung = case, strict.read(case.data), {}, []

    async def run(self, ports):
        self.hung = []
        results = await asyncio.gather(*(send(port, self.case.pieces) for port in ports.values()))
        for name, (answer, ended) in zip(ports, results):
            self.answers[name] = answer
            if not ended:
                self.hung.append(name)


class Run:
    """All outcomes, the origins with what they recorded, and the proxies."""

    def __init__(self, proxies, origins):
        self.proxies, self.origins, self.outcomes = proxies, origins, []
        self.ports = {name: proxy.port for name, proxy in proxies.items()}

    async def all(self, seed, count):
        gate = asyncio.Semaphore(AT_ONCE)

        async def one(number):
            async with gate:
                outcome = Outcome(grammar.Case(seed, number))
                await outcome.run(self.ports)
                return outcome
        self.outcomes = await asyncio.gather(*(one(number) for number in range(count)))

    async def again(self, outcome):
        """Once more and alone: what was a matter of timing goes away."""
        for where in self.origins.values():
            for tag in outcome.case.tags:
                where.forget(tag)
        await outcome.run(self.ports)

    def accepted(self, name, tag):
        return self.origins[name].accepted(tag)

    def lone(self, outcome):
        """Tags on which Meltemi stands alone: {tag: whether it accepted}."""
        others = [name for name in self.ports if name != "meltemi"]
        found = {}
        for tag in outcome.case.tags:
            own = self.accepted("meltemi", tag)
            if all(self.accepted(name, tag) != own for name in others):
                found[tag] = own
        return found


async def start_origins(names):
    return {name: await origin.Origin().start() for name in names}
