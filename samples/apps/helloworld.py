# SPDX-License-Identifier: Apache-2.0
"""The helloworld sample: says its version and instance."""
import os
import socket

import web


def route(request):
    if request.path == "/health":
        return web.Reply(200, "Helloworld is healthy", "text/plain")
    if request.path == "/hello":
        instance = os.environ.get("HOSTNAME", socket.gethostname())
        version = os.environ.get("SERVICE_VERSION", "v1")
        return web.Reply(200, f"Hello version: {version}, instance: {instance}\n", "text/plain")
    return web.Reply(404, "not found\n", "text/plain")


if __name__ == "__main__":
    web.serve(web.port_argument(5000), route, "helloworld")
