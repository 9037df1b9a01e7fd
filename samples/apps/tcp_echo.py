# SPDX-License-Identifier: Apache-2.0
"""The tcp-echo sample: `tcp_echo.py PORT[,PORT…] PREFIX` answers each line with "PREFIX line"."""
import signal
import socketserver
import sys
import threading


def main():
    ports = [int(p) for p in sys.argv[1].split(",")]
    prefix = sys.argv[2].encode()

    class Echo(socketserver.StreamRequestHandler):
        def handle(self):
            for line in self.rfile:
                self.wfile.write(prefix + b" " + line)

    class Server(socketserver.ThreadingTCPServer):
        allow_reuse_address = True
        daemon_threads = True
        request_queue_size = 128

    servers = [Server(("0.0.0.0", port), Echo) for port in ports]
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    signal.signal(signal.SIGINT, lambda *_: stop.set())
    for server in servers:
        threading.Thread(target=server.serve_forever, args=(0.2,), daemon=True).start()
    print(f"tcp-echo listens on {', '.join(map(str, ports))}", flush=True)
    stop.wait()


if __name__ == "__main__":
    main()
