"""The recording origin: one port per proxy, a strict reader on each connection, every message kept by its tag."""
import asyncio
import re

import strict

TAG = re.compile(rb"/t/(\d+\.\w)/(\w+)")


def tag_of(message):
    """What a message says it is: by its path, or else by its header."""
    found = TAG.search(message.target)
    if found:
        return found[1], found[2]
    tags = message.get(b"x-tag")
    return (tags[0], b"len") if tags else (None, b"len")


def answer_to(message):
    tag, mode = tag_of(message)
    body = b"answer to %s" % (tag or b"nobody")
    status = b"405 No tunnels" if message.method == b"CONNECT" else b"204 None" if mode == b"none" else b"200 OK"
    head = b"HTTP/1.1 %s\r\nX-Origin: 1\r\nX-Answer: %s\r\n" % (status, tag or b"-")
    if message.closes:
        head += b"Connection: close\r\n"
    if status.startswith(b"204"):
        return head + b"\r\n"
    if mode == b"chunked":
        body, head = b"%x\r\n%s\r\n0\r\n\r\n" % (len(body), body), head + b"Transfer-Encoding: chunked\r\n"
    else:
        head += b"Content-Length: %d\r\n" % len(body)
    return head + b"\r\n" + (b"" if message.method == b"HEAD" else body)


class OriginConnection(asyncio.Protocol):
    def __init__(self, origin):
        self.origin, self.reader, self.seen, self.answered = origin, strict.Reader(), 0, 0

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        self.reader.feed(data)
        messages = self.reader.messages
        while self.seen < len(messages):
            self.origin.record(messages[self.seen], self)
            self.seen += 1
        while self.answered < len(messages) and self.may_answer(messages[self.answered]):
            message = messages[self.answered]
            self.answered += 1
            self.transport.write(answer_to(message))
            if message.complete and message.closes:
                self.transport.close()
        if self.reader.error:
            self.origin.lost(self.reader)
            self.transport.abort()

    @staticmethod
    def may_answer(message):
        return message.complete or tag_of(message)[1] == b"early"


class Origin:
    """`messages[tag]` as they came, complete or not; `orphans` without a tag; `errors` of connections that lost their framing;
    `bad` tags that came in a message which is malformed itself: whoever sent it has accepted it."""

    def __init__(self):
        self.messages, self.orphans, self.errors, self.bad = {}, [], [], set()

    async def start(self):
        self.server = await asyncio.get_running_loop().create_server(lambda: OriginConnection(self), "127.0.0.1", 0, backlog=1024)
        self.port = self.server.sockets[0].getsockname()[1]
        return self

    def record(self, message, _connection):
        tag, _ = tag_of(message)
        if tag is None:
            self.orphans.append(message)
        else:
            self.messages.setdefault(tag, []).append(message)

    def lost(self, reader):
        rest = bytes(reader.buffer[:4000])
        self.errors.append((reader.error, [tag_of(message)[0] for message in reader.messages[-2:]], rest[:200]))
        self.bad |= {tag for tag, _ in TAG.findall(rest)[:1]}

    def forget(self, tag):
        self.messages.pop(tag, None)
        self.bad.discard(tag)

    def accepted(self, tag):
        """Whether a message with this tag arrived in full (one that is answered early: its head)."""
        return tag in self.bad or any(OriginConnection.may_answer(message) for message in self.messages.get(tag, ()))
