# SPDX-License-Identifier: Apache-2.0
"""The httpbin sample: the endpoints that service-mesh tutorials ask for, in go-httpbin's JSON shape.

/get /post /put /patch /delete /anything   echo the request      /headers  /ip  /user-agent  /html /json
/status/CODE   /delay/SECONDS   /bytes/N   /stream-bytes/N   /response-headers?k=v   /cookies   /redirect-to?url="""
import json
import time

import web

DELAY_MAX_S = 10.0
BYTES_MAX = 1024 * 1024


def header_lists(request):
    lists = {}
    for name, value in request.headers.items():
        lists.setdefault("-".join(p.capitalize() for p in name.split("-")), []).append(value)
    return lists


def echo(request):
    text = request.body.decode(errors="replace")
    try:
        parsed = json.loads(text) if text else None
    except ValueError:
        parsed = None
    value = {
        "args": {k: [v] for k, v in request.query.items()}, "headers": header_lists(request), "method": request.method,
        "origin": request.peer, "url": f"http://{request.headers.get('host', '')}{request.target}",
    }
    if request.method != "GET":
        value.update({"data": text, "json": parsed})
    return web.json_reply(value)


def status(request, argument):
    code = int(argument) if argument.isdigit() else 400
    if not 100 < code < 600:
        return web.json_reply({"error": "invalid status code"}, 400)
    headers = [("location", "/redirect/1")] if code in (301, 302, 303, 307, 308) else []
    return web.Reply(code, b"", "text/plain", headers)


def delay(request, argument):
    try:
        seconds = float(argument.rstrip("s"))
    except ValueError:
        return web.json_reply({"error": "invalid duration"}, 400)
    time.sleep(min(max(seconds, 0), DELAY_MAX_S))
    return echo(request)


def data(request, argument):
    count = int(argument) if argument.isdigit() else 0
    return web.Reply(200, b"x" * min(count, BYTES_MAX), "application/octet-stream")


def response_headers(request, argument):
    return web.json_reply({k: [v] for k, v in request.query.items()}, 200, list(request.query.items()))


def redirect_to(request, argument):
    return web.Reply(302, b"", "text/plain", [("location", request.query.get("url", "/get"))])


# First path segment -> what answers it; the second segment is the argument.
ROUTES = {
    "get": lambda r, _: echo(r), "post": lambda r, _: echo(r), "put": lambda r, _: echo(r), "patch": lambda r, _: echo(r),
    "delete": lambda r, _: echo(r), "anything": lambda r, _: echo(r),
    "headers": lambda r, _: web.json_reply({"headers": header_lists(r)}),
    "ip": lambda r, _: web.json_reply({"origin": r.headers.get("x-forwarded-for", r.peer)}),
    "user-agent": lambda r, _: web.json_reply({"user-agent": r.headers.get("user-agent", "")}),
    "cookies": lambda r, _: web.json_reply({"cookies": r.headers.get("cookie", "")}),
    "html": lambda r, _: web.Reply(200, "<!DOCTYPE html><html><body><h1>httpbin</h1></body></html>", "text/html"),
    "json": lambda r, _: web.json_reply({"slideshow": {"title": "Sample Slide Show", "slides": []}}),
    "status": status, "delay": delay, "bytes": data, "stream-bytes": data, "response-headers": response_headers,
    "redirect-to": redirect_to,
}


def route(request):
    parts = request.path.strip("/").split("/") + [""]
    if parts[0] == "":
        return web.Reply(200, "<!DOCTYPE html><html><body>httpbin</body></html>", "text/html")
    answer = ROUTES.get(parts[0])
    return answer(request, parts[1]) if answer else web.json_reply({"error": "not found"}, 404)


if __name__ == "__main__":
    web.serve(web.port_argument(8080), route, "httpbin")
