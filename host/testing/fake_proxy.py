"""A proxy small enough for tests of lifecycles: readiness, captured connections answered by itself, drain.

fake_proxy.py sidecar --ip IP --gate FILE --capture SOCKET: ready once FILE exists; answers each captured connection
with the address it was meant for; on SIGTERM waits until FILE.drain does not exist, says so and ends."""
import argparse
import os
import select
import signal
import socket
import struct
import sys
import time

parser = argparse.ArgumentParser()
parser.add_argument("mode")
parser.add_argument("--ip")
parser.add_argument("--gate")
parser.add_argument("--capture")
args, _ = parser.parse_known_args()

watched = []
if args.capture:
    capture = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    capture.connect(args.capture)
    capture.send(struct.pack("=IBBH", 0x4D435031, 1, 0, 15001))
    _, descriptors, _, _ = socket.recv_fds(capture, 12, 1)
    outbound = socket.socket(fileno=descriptors[0])
    outbound.setblocking(True)
    watched.append(outbound)

health = socket.socket()
health.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
health.bind((args.ip, 15021))
health.listen()
watched.append(health)


def drain(*_):
    print("draining", flush=True)
    while os.path.exists(args.gate + ".drain"):
        time.sleep(0.005)
    print("drained", flush=True)
    sys.exit(0)


signal.signal(signal.SIGTERM, drain)
print("proxy up", flush=True)
while True:
    for ready in select.select(watched, [], [])[0]:
        connection, _ = ready.accept()
        if ready is health:
            connection.recv(4096)
            status = "200 OK" if os.path.exists(args.gate) else "503 Service Unavailable"
            connection.sendall(f"HTTP/1.1 {status}\r\ncontent-length: 0\r\n\r\n".encode())
        else:
            port, ip = struct.unpack("!2xH4s8x", connection.getsockopt(socket.SOL_IP, 80, 16))
            connection.sendall(f"{socket.inet_ntoa(ip)}:{port}".encode())
        connection.close()
