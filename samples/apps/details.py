# SPDX-License-Identifier: Apache-2.0
"""Bookinfo's details service: facts about a book."""
import web


def route(request):
    if request.path == "/health":
        return web.json_reply({"status": "Details is healthy"})
    parts = request.path.strip("/").split("/")
    if len(parts) == 2 and parts[0] == "details":
        if not parts[1].isdigit():
            return web.json_reply({"error": "please provide numeric product id"}, 400)
        return web.json_reply({
            "id": int(parts[1]), "author": "William Shakespeare", "year": 1595, "type": "paperback", "pages": 200,
            "publisher": "PublisherA", "language": "English", "ISBN-10": "1234567890", "ISBN-13": "123-1234567890"})
    return web.json_reply({"error": "not found"}, 404)


if __name__ == "__main__":
    web.serve(web.port_argument(), route, "details")
