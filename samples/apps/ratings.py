# SPDX-License-Identifier: Apache-2.0
"""Bookinfo's ratings service: stars by reviewer. POST /ratings/ID replaces a product's stars."""
import json

import web

_stars = {}


def route(request):
    if request.path == "/health":
        return web.json_reply({"status": "Ratings is healthy"})
    parts = request.path.strip("/").split("/")
    if len(parts) != 2 or parts[0] != "ratings":
        return web.json_reply({"error": "not found"}, 404)
    if not parts[1].isdigit():
        return web.json_reply({"error": "please provide numeric product ID"}, 400)
    product = int(parts[1])
    if request.method == "POST":
        try:
            _stars[product] = json.loads(request.body)
        except ValueError:
            return web.json_reply({"error": "please provide valid ratings JSON"}, 400)
    return web.json_reply({"id": product, "ratings": _stars.get(product, {"Reviewer1": 5, "Reviewer2": 4})})


if __name__ == "__main__":
    web.serve(web.port_argument(), route, "ratings")
