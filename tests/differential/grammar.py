"""Requests as a client with bad intentions would write them: a valid draft of one to three pipelined messages, then zero to
two mutations of its grammar. Every mutation has a label, which the table of explained disagreements speaks of."""
import random
import re

SMUGGLED = b"GET /t/%d.s/len HTTP/1.1\r\nHost: smuggled\r\nX-Tag: %d.s\r\n\r\n"
END = b"GET /t/%d.e/len HTTP/1.1\r\nHost: h\r\nX-Tag: %d.e\r\nConnection: close\r\n\r\n"
TAG_NUMBER = re.compile(rb"(?:/t/|[Tt]ag:\s*)(\d+)")
BASES = ("get", "length", "chunked")


class Chunk:
    def __init__(self, data):
        self.size, self.extension, self.size_eol, self.data, self.data_eol = b"%x" % len(data), b"", b"\r\n", data, b"\r\n"

    def bytes(self):
        return self.size + self.extension + self.size_eol + self.data + self.data_eol


class Draft:
    """One message, in parts that a mutation may exchange one by one."""

    def __init__(self, rng, number, name, kind):
        self.kind, self.number, self.lead, self.tail = kind, number, b"", b""
        mode = rng.choice([b"len", b"len", b"len", b"chunked", b"none", b"early"])
        self.method, self.gap1, self.gap2 = (b"GET" if kind == "get" else b"POST"), b" ", b" "
        self.path = b"/t/%d.%s/%s" % (number, name, mode)
        self.target, self.version, self.line_eol = self.path, b"HTTP/1.1", b"\r\n"
        self.fields = [[b"Host", b": ", b"h", b"\r\n"], [b"X-Tag", b": ", b"%d.%s" % (number, name), b"\r\n"]]
        self.end = b"\r\n"
        self.data = rng.choice([b"hello", SMUGGLED % (number, number), b"x" * 300, b"0\r\n\r\n" + SMUGGLED % (number, number)])
        self.chunks, self.last, self.last_extension, self.last_eol = [], b"0", b"", b"\r\n"
        self.trailers, self.body_end = [], b"\r\n"
        if kind == "length":
            self.add(b"Content-Length", b"%d" % len(self.data))
        if kind == "chunked":
            self.add(b"Transfer-Encoding", b"chunked")
            cut = rng.randrange(1, len(self.data))
            self.chunks = [Chunk(self.data[:cut]), Chunk(self.data[cut:])]

    def add(self, name, value, colon=b": ", eol=b"\r\n"):
        self.fields.append([name, colon, value, eol])

    def field(self, name):
        return next((field for field in self.fields if field[0].lower() == name), None)

    def replace(self, name, *lines):
        """Exchanges a field for raw lines."""
        self.fields = [field for field in self.fields if field[0].lower() != name]
        self.fields += [[line, b"", b"", b"\r\n"] for line in lines]

    def body(self):
        if self.kind == "length":
            return self.data
        if self.kind != "chunked":
            return b""
        return b"".join(chunk.bytes() for chunk in self.chunks) + self.last + self.last_extension + self.last_eol + \
            b"".join(self.trailers) + self.body_end

    def bytes(self):
        line = self.method + self.gap1 + self.target + self.gap2 + self.version + self.line_eol
        return self.lead + line + b"".join(b"".join(field) for field in self.fields) + self.end + self.body() + self.tail


# -- mutations: label -> function of a draft; those of one table apply to the same kind of message

def set_part(name, value):
    return lambda d: setattr(d, name, value(d) if callable(value) else value)


def table(prefix, values, make):
    return {f"{prefix}:{value[:40].decode('latin-1')!r}{len(value) if len(value) > 40 else ''}": make(value) for value in values}


def raw_lines(name):
    return lambda value: lambda d: d.replace(name, *value.split(b"|"))


def all_eol(eol):
    def mutate(d):
        d.line_eol = d.end = eol
        for field in d.fields:
            field[3] = eol
    return mutate


def some_eol(value):
    return lambda d: d.fields[-1].__setitem__(3, value)


METHODS = table("method", [b"get", b"G@T", b"G\0T", b"PATCH", b"FOO-BAR", b"A" * 300, b"", b"HEAD", b"OPTIONS", b"TRACE", b"DELETE",
                           b"G\x80T", b"G:T", b"G\tT", b"PUT", b"QUERY", b"M-SEARCH", b"G\"T\""], lambda v: set_part("method", v))
TARGETS = {f"target:{label}": set_part("target", value) for label, value in {
    "absolute": lambda d: b"http://h" + d.path, "absolute-case": lambda d: b"HTTP://h" + d.path,
    "absolute-https": lambda d: b"https://h" + d.path, "absolute-other-host": lambda d: b"http://other" + d.path,
    "absolute-userinfo": lambda d: b"http://a@h" + d.path, "absolute-port": lambda d: b"http://h:80" + d.path,
    "absolute-no-host": lambda d: b"http://" + d.path, "absolute-bad-host": lambda d: b"http://h\\x" + d.path,
    "absolute-query": lambda d: b"http://h?" + d.path, "absolute-bare": b"http://h", "absolute-ftp": lambda d: b"ftp://h" + d.path,
    "absolute-one-slash": lambda d: b"http:/h" + d.path, "double-slash": lambda d: b"/" + d.path,
    "dot-segments": lambda d: b"/x/.." + d.path, "dot-out": lambda d: b"/../.." + d.path, "escaped-slash": lambda d: d.path + b"%2f..%2fy",
    "escaped-nul": lambda d: d.path + b"%00", "bad-escape": lambda d: d.path + b"%zz", "backslash": lambda d: d.path + b"\\..\\y",
    "fragment": lambda d: d.path + b"#frag", "parameter": lambda d: d.path + b"/..;a=b", "query": lambda d: d.path + b"?a=/../b",
    "two-queries": lambda d: d.path + b"?a?b", "star": b"*", "star-more": lambda d: b"*" + d.path, "relative": lambda d: d.path[1:],
    "empty": b"", "space": lambda d: d.path + b" x", "tab": lambda d: d.path + b"\tx", "del": lambda d: d.path + b"\x7f",
    "nul": lambda d: d.path + b"\0", "control": lambda d: d.path + b"\x01", "high": lambda d: d.path + b"\xc3\xa9",
    "not-utf8": lambda d: d.path + b"\xff\xfe", "cr": lambda d: d.path + b"\rx", "quote": lambda d: d.path + b"\"<>{}|^`",
    "long": lambda d: d.path + b"?" + b"q" * 4000, "huge": lambda d: d.path + b"?" + b"q" * 200000}.items()}
VERSIONS = table("version", [b"HTTP/1.0", b"HTTP/1.2", b"HTTP/2.0", b"HTTP/0.9", b"HTTP/1.10", b"HTTP/01.1", b"http/1.1", b"HTTP/1.1x",
                             b"HTTP/1", b"HTTP /1.1", b"", b"HTTP/1.1 ", b"HTTP/1.1\t", b"HTTP/1,1", b"HTTP/11", b"HTPP/1.1",
                             b"HTTP/1.\xb9", b"HTTP/3.0", b"HTTP/1.1 HTTP/1.1", b"HTTP/-1.1", b"HTTP/1.\0", b"ICY/1.1"],
                 lambda v: set_part("version", v))
LINE = {"gap1:double": set_part("gap1", b"  "), "gap1:tab": set_part("gap1", b"\t"), "gap1:cr": set_part("gap1", b"\r"),
        "gap1:vt": set_part("gap1", b"\x0b"), "gap2:double": set_part("gap2", b"  "), "gap2:tab": set_part("gap2", b"\t"),
        "gap2:none": set_part("gap2", b""), "gap2:ff": set_part("gap2", b"\x0c"), "lead:crlf": set_part("lead", b"\r\n"),
        "lead:crlf-3": set_part("lead", b"\r\n\r\n\r\n"), "lead:lf": set_part("lead", b"\n"), "lead:cr": set_part("lead", b"\r"),
        "lead:space": set_part("lead", b" "), "lead:nul": set_part("lead", b"\0"), "lead:garbage": set_part("lead", b"\xff\xfe\x16\x03"),
        "lead:line": set_part("lead", b"garbage\r\n"), "tail:crlf": set_part("tail", b"\r\n"), "tail:lf": set_part("tail", b"\n"),
        "tail:byte": set_part("tail", b"x"), "tail:nul": set_part("tail", b"\0"), "tail:crlf-many": set_part("tail", b"\r\n" * 40)}
ENDS = {"eol:all-lf": all_eol(b"\n"), "eol:all-cr": all_eol(b"\r"), "eol:all-crcrlf": all_eol(b"\r\r\n"),
        "eol:line-lf": set_part("line_eol", b"\n"), "eol:line-cr": set_part("line_eol", b"\r"), "eol:line-crcrlf": set_part("line_eol", b"\r\r\n"),
        "eol:line-crlf-space": set_part("line_eol", b"\r\n "), "eol:end-lf": set_part("end", b"\n"), "eol:end-cr": set_part("end", b"\r"),
        "eol:end-crcrlf": set_part("end", b"\r\r\n"), "eol:end-none": set_part("end", b""), "eol:end-space": set_part("end", b" \r\n"),
        "eol:end-lfcrlf": set_part("end", b"\n\r\n"), "eol:field-lf": some_eol(b"\n"), "eol:field-cr": some_eol(b"\r"),
        "eol:field-crcrlf": some_eol(b"\r\r\n"), "eol:field-lfcr": some_eol(b"\n\r"), "eol:field-nul": some_eol(b"\0\r\n")}
HOSTS = table("host", [b"", b"X-None: 1", b"Host: h|Host: h", b"Host: h|Host: other", b"Host:", b"Host: h:80", b"Host: h:", b"Host: h:x",
                       b"Host: h:99999999", b"Host: h/p", b"Host: a@h", b"Host: h, h", b"Host: h h", b"Host: [::1]", b"Host: [::1]:80",
                       b"Host: [::1", b"Host: h\0", b"HOST: H", b"Host: h.", b"Host : h", b"Host: h\xff", b"Host: h#x", b"Host: h?x",
                       b"Host: h\\x", b"Host: \"h\"", b"Host: <h>", b"Host: h|host: h", b"Host: " + b"h" * 300, b"Host:\th\t", b"Host: *",
                       b"Host: %00", b"Host: h%0d%0a", b"Host: ..", b"Host: h:80:80", b"Host\0: h", b"Host: h\x0b"],
              lambda v: (lambda d: d.replace(b"host", *v.split(b"|"))) if v else (lambda d: d.replace(b"host")))


def lengths():
    """Content-Length lines; N stands for the right number."""
    lines = [b"Content-Length: +N", b"Content-Length: -N", b"Content-Length: N,N", b"Content-Length: N, N", b"Content-Length: N|Content-Length: N",
             b"Content-Length: N|Content-Length: 0", b"Content-Length: 0|Content-Length: N", b"Content-Length: 0xN", b"Content-Length: N.0",
             b"Content-Length: N ", b"Content-Length: 0N", b"Content-Length: 000000000000000000000N", b"Content-Length: N N",
             b"Content-Length: Ne0", b"Content-Length:", b"Content-Length: \t", b"Content-Length: 9999999999999999999",
             b"Content-Length: 99999999999999999999999999999999999999N", b"Content-Length: 18446744073709551621", b"Content-Length:\tN",
             b"Content-Length: N\x0b", b"Content-Length: \x0bN", b"Content-Length: N\0", b"Content-Length : N", b"Content-Length\t: N",
             b"Content_Length: N", b"Content-Length: N\r\n ", b"Content-Length:\r\n N", b"Content-Length: \"N\"", b"Content-Length: \xd9\xa5",
             b"Content-Length: N;x", b"Content-Length: N,", b"Content-Length: ,N", b"CONTENT-LENGTH: N", b"content-length: N|X-A: b",
             b"Content-Length\0: N", b"\0Content-Length: N", b" Content-Length: N", b"Content-Length: N\r", b"Content-Length: 0",
             b"Content-Length: 1", b"X: y\nContent-Length: N", b"X: y\rContent-Length: N", b"Content-Length: N_0", b"Content-Length: N\r\nContent-Length: Nx"]

    def make(line):
        return lambda d: d.replace(b"content-length", *line.replace(b"N", b"%d" % len(d.data)).split(b"|"))
    return table("length", lines, make)


CODINGS = table("coding", [b"Transfer-Encoding: Chunked", b"Transfer-Encoding: CHUNKED", b"Transfer-Encoding: chunked, chunked",
                           b"Transfer-Encoding: identity", b"Transfer-Encoding: identity, chunked", b"Transfer-Encoding: gzip, chunked",
                           b"Transfer-Encoding: chunked, identity", b"Transfer-Encoding:\tchunked", b"Transfer-Encoding: chunked\t",
                           b"Transfer-Encoding: \x0bchunked", b"Transfer-Encoding: chunked\x0b", b"Transfer-Encoding: chunked;q=1",
                           b"Transfer-Encoding: xchunked", b"Transfer-Encoding: chunkedx", b"Transfer-Encoding: \"chunked\"",
                           b"Transfer-Encoding: 'chunked'", b"Transfer-Encoding: ,chunked", b"Transfer-Encoding: chunked,",
                           b"Transfer-Encoding:", b"Transfer-Encoding: chunked|Transfer-Encoding: chunked",
                           b"Transfer-Encoding: chunked|Transfer-Encoding: identity", b"Transfer-Encoding: identity|Transfer-Encoding: chunked",
                           b"Transfer-Encoding: chunked|Transfer-encoding: cow", b"Transfer-Encoding : chunked", b" Transfer-Encoding: chunked",
                           b"Transfer_Encoding: chunked", b"X: y\nTransfer-Encoding: chunked", b"X: y\rTransfer-Encoding: chunked",
                           b"Transfer-Encoding:\r\n chunked", b"Transfer-Encoding: chunked\r\n x", b"Transfer-Encoding: \0chunked",
                           b"Transfer-Encoding: chunked\0", b"Transfer-Encoding\0: chunked", b"Transfer-Encoding: chunk\xc3\xabd",
                           b"TRANSFER-ENCODING: chunked", b"Transfer-Encoding: chunked|Content-Length: 5", b"Content-Length: 5|Transfer-Encoding: chunked",
                           b"Transfer-Encoding: chunked|Content-Length: 0", b"Transfer-Encoding: chunked|Content-Length: x",
                           b"Transfer-Encoding: identity|Content-Length: 5", b"Transfer-Encoding: x|Content-Length: 5", b"Transfer-Encoding: cow",
                           b"Transfer-Encoding; chunked", b"Transfer Encoding: chunked", b"Transfer-Encoding: chunked|Connection: transfer-encoding",
                           b"Transfer-Encoding: chunked|Connection: content-length", b"Transfer-Encoding: ch unked", b"Transfer-Encoding: deflate"],
                raw_lines(b"transfer-encoding"))


def on_chunk(name, value):
    return lambda d: setattr(d.chunks[0], name, value(d.chunks[0]) if callable(value) else value)


CHUNKS = {f"chunk:{label}": on_chunk("size", value) for label, value in {
    "0x": lambda c: b"0x" + c.size, "plus": lambda c: b"+" + c.size, "minus": lambda c: b"-" + c.size, "space-before": lambda c: b" " + c.size,
    "space-behind": lambda c: c.size + b" ", "tab-behind": lambda c: c.size + b"\t", "zero-before": lambda c: b"0" + c.size,
    "zeros-before-13": lambda c: b"0" * 11 + c.size, "zeros-before-40": lambda c: b"0" * 40 + c.size, "overflow": lambda c: b"1" + c.size.rjust(16, b"0"),
    "overflow-32": lambda c: b"1" + c.size.rjust(8, b"0"), "huge": b"ffffffffffffffff", "empty": b"", "not-hex": b"g", "hex-more": lambda c: c.size + b"h",
    "too-small": lambda c: b"%x" % (len(c.data) - 1) if len(c.data) > 1 else b"0", "too-large": lambda c: b"%x" % (len(c.data) + 2), "upper": lambda c: c.size.upper(),
    "underscore": lambda c: c.size + b"_0", "nul": lambda c: c.size + b"\0", "point": lambda c: c.size + b".0", "quoted": lambda c: b"\"" + c.size + b"\"",
    "line-before": lambda c: b"\r\n" + c.size, "vt": lambda c: c.size + b"\x0b"}.items()}
CHUNKS |= {f"extension:{label}": on_chunk("extension", value) for label, value in {
    "empty": b";", "name": b";a", "value": b";a=b", "quoted": b";a=\"b;c\"", "space-before": b" ;a", "space-inside": b"; a = b", "quoted-crlf": b";a=\"\r\n\"",
    "lf": b";a\nb", "lf-size": b";\n5", "cr": b";a\rb", "nul": b";a\0", "long": b";a=" + b"x" * 300, "huge": b";a=" + b"x" * 20000, "del": b";\x7f", "high": b";a=\xff",
    "no-semicolon": b" a=b", "comma": b",a", "open-quote": b";a=\"b", "two": b";a;b"}.items()}
CHUNKS |= {f"size-eol:{value!r}": on_chunk("size_eol", value) for value in (b"\n", b"\r", b"\r\r\n", b"\r\n\r\n", b"\n\r", b"", b" \r\n", b"\rX")}
CHUNKS |= {f"data-eol:{value!r}": on_chunk("data_eol", value) for value in (b"\n", b"\r", b"", b"XX", b"\r\r\n", b"\r\nX", b"X\r\n", b"\n\r", b"\0\0", b"\r\n\r\n")}
CHUNKS |= {f"last:{label}": set_part("last", value) for label, value in {
    "zeros": b"00", "zeros-15": b"0" * 15, "zeros-40": b"0" * 40, "minus": b"-0", "0x0": b"0x0", "plus": b"+0", "space": b"0 ", "missing": b""}.items()}
CHUNKS |= {"last:extension": set_part("last_extension", b";x=y"), "last:eol-lf": set_part("last_eol", b"\n"), "last:eol-cr": set_part("last_eol", b"\r"),
           "end:lf": set_part("body_end", b"\n"), "end:none": set_part("body_end", b""), "end:byte": set_part("body_end", b"X\r\n"), "end:cr": set_part("body_end", b"\r"),
           "end:crcrlf": set_part("body_end", b"\r\r\n")}
CHUNKS |= {f"trailer:{value[:30]!r}{len(value)}": set_part("trailers", [value]) for value in (
    b"X-T: 1\r\n", b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b"Host: other\r\n", b"X T: 1\r\n", b"X-T : 1\r\n", b"X-T: 1\r\n fold\r\n",
    b"X-T: 1\n", b"no colon\r\n", b": x\r\n", b"X-T: \0\r\n", b"X-T: a\rb\r\n", b" X-T: 1\r\n", b"X-T: " + b"x" * 3000 + b"\r\n", b"X-T: " + b"x" * 100000 + b"\r\n",
    b"X-T: 1\r\n" * 400, b"Connection: close\r\n", b"GET /t/0.x/len HTTP/1.1\r\n", b"X-T: \xff\r\n", b"Trailer: x\r\n", b"Expect: 100-continue\r\n")}
FIELDS = table("field", [b"X Y: 1", b"X\0: 1", b"X(: 1", b": 1", b"X:: 1", b"X\xff: 1", b"X : 1", b"X\t: 1", b"no-colon", b"X: a\0b", b"X: a\rb", b"X: a\nb", b"X: \x7f",
                         b"X: \x01", b"X: \x0b", b"X: \x0c", b"X: \x80\xff", b"X: \xc3\xa9", b"X:", b"X:   ", b"X:1", b"X:\t1\t", b"X: 1\r\n fold", b"X: 1\r\n\tfold",
                         b"X: 1\r\n ", b"X: 1\r\n Y: 2", b"X: " + b"v" * 4000, b"X: " + b"v" * 30000, b"X: " + b"v" * 200000, b"|".join(b"X-%d: 1" % n for n in range(80)),
                         b"|".join(b"X-%d: 1" % n for n in range(400)), b"x_y: 1", b"X: 1|X: 2|x: 3", b"Connection: x-tag", b"Connection: content-length",
                         b"Connection: transfer-encoding", b"Connection: host", b"Connection: close, keep-alive", b"Connection: keep-alive", b"Connection: close",
                         b"Connection:", b"Connection: ,", b"Connection: x y", b"Connection: " + b",".join(b"x%d" % n for n in range(40)), b"Keep-Alive: timeout=5",
                         b"Proxy-Connection: close", b"TE: trailers", b"TE: chunked;q=1", b"Expect: 100-continue", b"Expect: bogus", b"Expect: 100-continue, x",
                         b"Upgrade: h2c|Connection: Upgrade, HTTP2-Settings|HTTP2-Settings: AAMAAABkAAQAAP__", b"Upgrade: websocket",
                         b"Upgrade: websocket|Connection: Upgrade", b"Upgrade: foo|Connection: upgrade", b"Upgrade: |Connection: upgrade", b"Upgrade: a b|Connection: upgrade",
                         b"Trailer: x", b"X-Forwarded-For: \"", b"Cookie: a=b|Cookie: c=d", b"Content-Type: \xff", b"Range: bytes=0-", b"GET / HTTP/1.1", b"\"X\": 1", b"X[0]: 1",
                         b"X;: 1", b"X,Y: 1", b"{X}: 1", b"X\r: 1", b"X\n: 1", b"X: a\x1b[0m", b":method: GET", b":path: /x"],
               lambda v: lambda d: [d.add(line, b"", b"") for line in v.split(b"|")])
GET_BODY = table("get-body", [b"Content-Length: 5", b"Content-Length: 0", b"Transfer-Encoding: chunked", b"Content-Length: 5000"],
                 lambda v: lambda d: (d.add(v, b"", b""), setattr(d, "tail", b"5\r\nhello\r\n0\r\n\r\n" if v[:1] == b"T" else b"hello")))
CONNECTS = {f"connect:{target.decode()}": (lambda t: lambda d: (setattr(d, "method", b"CONNECT"), setattr(d, "target", t)))(target)
            for target in (b"h:80", b"h", b"/x", b"http://h:80/", b"h:x", b"[::1]:80", b"a@h:80", b"h:80/x")}

ANY = {**METHODS, **TARGETS, **VERSIONS, **LINE, **ENDS, **HOSTS, **FIELDS}
OF_KIND = {"get": {**ANY, **GET_BODY, **CONNECTS}, "length": {**ANY, **lengths()}, "chunked": {**ANY, **CODINGS, **CHUNKS}}
TABLE = [(kind, label) for kind, mutations in OF_KIND.items() for label in mutations]


def mangle(rng, data):
    """One byte changed, put in, or taken away anywhere."""
    at, byte = rng.randrange(len(data)), rng.choice([bytes([rng.randrange(256)]), rng.choice([b"\0", b"\n", b"\r", b" ", b"\t", b":", b"\x0b", b"\x80"])])
    kind = rng.randrange(4)
    if kind == 0:
        return data[:at] + byte + data[at + 1:]
    if kind == 1:
        return data[:at] + byte + data[at:]
    if kind == 2:
        return data[:at] + data[at + 1:]
    end = min(len(data), at + rng.randrange(1, 40))
    return data[:end] + data[at:end] + data[end:]


class Case:
    """`data` in `pieces`; `labels` of what was done to it; `tags` that its messages carry."""

    def __init__(self, seed, number):
        rng = random.Random(f"{seed}/{number}")
        self.number, self.labels = number, []
        forced = TABLE[number] if number < len(TABLE) else None
        count = rng.choice([1, 1, 2, 3]) if forced is None else 1
        drafts = [Draft(rng, number, b"%d" % n, forced[0] if forced else rng.choice(BASES)) for n in range(count)]
        if forced:
            self.apply(drafts[0], forced[1])
        for _ in range(0 if forced else rng.choice([0, 1, 1, 1, 2, 2])):
            draft = rng.choice(drafts)
            self.apply(draft, rng.choice(list(OF_KIND[draft.kind])))
        self.tags = [b"%d.%d" % (number, n) for n in range(count)] + [b"%d.s" % number, b"%d.e" % number]
        self.data = b"".join(draft.bytes() for draft in drafts)
        if forced is None and rng.random() < 0.15:
            mangled = mangle(rng, self.data)
            if all(int(found) == number for found in TAG_NUMBER.findall(mangled)):  # else it would pass for another case
                self.data = mangled
                self.labels.append("mangled")
        self.is_cut = forced is None and rng.random() < 0.05
        if self.is_cut:
            self.data = self.data[:rng.randrange(len(self.data))]
            self.labels.append("cut")
        else:
            self.data += END % (number, number)
        self.pieces = self.split(rng)

    def apply(self, draft, label):
        OF_KIND[draft.kind][label](draft)
        self.labels.append(label)

    def split(self, rng):
        """Mostly one piece: where a parser's state is cut must not matter."""
        if rng.random() < 0.6 or len(self.data) < 2 or len(self.data) > 50000:
            return [self.data]
        cuts = sorted(rng.sample(range(1, len(self.data)), min(rng.randrange(1, 6), len(self.data) - 1)))
        return [self.data[a:b] for a, b in zip([0, *cuts], [*cuts, len(self.data)])]
