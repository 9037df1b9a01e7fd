#!/usr/bin/env python3
"""Figures of a whole mesh on this machine: time to ready, time from apply to live, requests lost during changes.

Every figure comes from the real programs on samples/bookinfo; the seed of the random order is printed."""
import argparse
import http.client
import pathlib
import random
import re
import statistics
import sys
import threading
import time

sys.path[:0] = [str(pathlib.Path(__file__).resolve().parents[1] / "tests"), str(pathlib.Path(__file__).resolve().parents[1] / "tests/checks")]
import meshes  # noqa: E402

SAMPLE = meshes.ROOT / "samples/bookinfo"
APP = """
apiVersion: networking.istio.io/v1
kind: VirtualService
metadata: {{name: reviews}}
spec:
  hosts: [reviews]
  http:
  - route:
    - {{destination: {{host: reviews, subset: v1}}, weight: {a}}}
    - {{destination: {{host: reviews, subset: v2}}, weight: {b}}}
    - {{destination: {{host: reviews, subset: v3}}, weight: {c}}}
"""
RULE = """
apiVersion: networking.istio.io/v1
kind: DestinationRule
metadata: {{name: {host}}}
spec:
  host: {host}
  trafficPolicy: {{loadBalancer: {{simple: {lb}}}, connectionPool: {{http: {{http2MaxRequests: {limit}}}}}}}
  subsets:
  - {{name: v1, labels: {{version: v1}}}}
  - {{name: v2, labels: {{version: v2}}}}
  - {{name: v3, labels: {{version: v3}}}}
"""


def change(rng):
    """One random change that leaves every request answerable."""
    if rng.random() < 0.5:
        a, b = rng.randint(0, 50), rng.randint(0, 50)
        return APP.format(a=a, b=b, c=100 - a - b)
    return RULE.format(host=rng.choice(["reviews", "ratings", "details"]),
                       lb=rng.choice(["ROUND_ROBIN", "LEAST_REQUEST", "RANDOM"]), limit=rng.randint(500, 1000))


class Load:
    """Threads that ask for the product page through the gateway, each on a kept connection, until stopped."""

    def __init__(self, port, threads):
        self.port, self.stop = port, threading.Event()
        self.done = self.lost = 0
        self.lock = threading.Lock()
        self.first_losses = []
        self.threads = [threading.Thread(target=self.work) for _ in range(threads)]
        for thread in self.threads:
            thread.start()

    def work(self):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        while not self.stop.is_set():
            try:
                connection.request("GET", "/productpage")
                answer = connection.getresponse()
                body = answer.read().decode()
                bad = None if answer.status == 200 and "Error fetching" not in body and "unavailable" not in body else f"{answer.status}"
            except (OSError, http.client.HTTPException) as error:
                bad = repr(error)
                connection.close()
            with self.lock:
                self.done += 1
                if bad:
                    self.lost += 1
                    self.first_losses = (self.first_losses + [bad])[:5]
        connection.close()

    def finish(self):
        self.stop.set()
        for thread in self.threads:
            thread.join()


def milliseconds(text):
    found = re.search(r"in ([\d.]+) (ms|s)\b", text)
    if not found:
        raise SystemExit(f"apply did not say how long it took: {text!r}")
    return float(found.group(1)) * (1 if found.group(2) == "ms" else 1000)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ups", type=int, default=3)
    parser.add_argument("--applies", type=int, default=21)
    parser.add_argument("--changes", type=int, default=200)
    parser.add_argument("--seed", type=int, default=int(time.time()))
    args = parser.parse_args()
    rng = random.Random(args.seed)

    ups = []
    for n in range(args.ups):
        mesh = meshes.Mesh(f"bench{n}")
        try:
            started = time.monotonic()
            mesh.up(SAMPLE)
            ups.append(time.monotonic() - started)
            if n + 1 < args.ups:
                continue
            live = [milliseconds(mesh.apply_text(change(rng)).stdout) for _ in range(args.applies)]
            load = Load(mesh.gateway_port, threads=4)
            for _ in range(args.changes):
                mesh.apply_text(change(rng))
            load.finish()
        finally:
            mesh.close()
    print(f"meltemi up samples/bookinfo to ready: median {statistics.median(ups):.2f} s of {len(ups)} (goal <= 5 s)")
    print(f"apply to live on all proxies: median {statistics.median(live):.0f} ms, max {max(live):.0f} ms of {len(live)} (goal <= 100 ms)")
    print(f"requests lost during {args.changes} changes: {load.lost} of {load.done} (goal 0; seed {args.seed}) {load.first_losses or ''}")


if __name__ == "__main__":
    main()
