#!/usr/bin/env python3
"""How long after a purge on one gateway the others still answer with what was purged.

usage: coherence.py [sqlite|redis|postgres|all] [--purges N]
Needs bin/perennial (`make build`), redis-server and PostgreSQL. Four gateways share a store, each with the entry in its memory tier. One
is told to remove it, and the clock begins when it has confirmed; the others are read again and again until they have asked anew.
"""

import argparse
import contextlib
import http.client
import http.server
import itertools
import json
import os
import pathlib
import re
import subprocess
import tempfile
import threading
import time

import engines

ROOT = pathlib.Path(__file__).resolve().parent.parent
GATEWAYS = 4


class Origin(http.server.BaseHTTPRequestHandler):
    """Gives another number each time."""
    protocol_version = "HTTP/1.1"
    # Head and body in one packet: without, the second would wait 40 ms for the first's acknowledgement.
    wbufsize = 1 << 16
    numbers = itertools.count()

    def do_GET(self):
        body = str(next(self.numbers)).encode()
        self.send_response(200)
        self.send_header("Cache-Control", "max-age=3600")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


@contextlib.contextmanager
def store(engine):
    if engine == "redis":
        with engines.redis_server() as port:
            yield f"redis://127.0.0.1:{port}/0"
    elif engine == "postgres":
        with engines.postgres_server() as (port, _):
            yield f"postgres://postgres@127.0.0.1:{port}/postgres"
    else:
        with tempfile.TemporaryDirectory() as folder:
            yield f"sqlite:{folder}/cache.sqlite"


class Gateway:
    def __init__(self, origin, address):
        self.process = subprocess.Popen(
            [ROOT / "bin/perennial", "serve", "--origin", origin, "--listen", "127.0.0.1:0", "--admin", "127.0.0.1:0", "--store",
             address, "--threads", "1", "--log-level", "error"], stdout=subprocess.PIPE, text=True)
        ports = re.findall(r"http://127\.0\.0\.1:(\d+)", self.process.stdout.readline())
        self.http, self.admin = (http.client.HTTPConnection("127.0.0.1", int(port)) for port in ports[-2:])

    def read(self, path):
        self.http.request("GET", path)
        return self.http.getresponse().read()

    def remove(self, path):
        self.admin.request("POST", "/api/remove", json.dumps({"url": path}), {"Content-Type": "application/json"})
        answer = self.admin.getresponse()
        text = answer.read().decode()
        assert answer.status == 200, text

    def stop(self):
        self.process.terminate()
        self.process.wait(20)


def measure(engine, purges):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Origin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    delays = []
    with store(engine) as address:
        gateways = [Gateway(f"http://127.0.0.1:{server.server_port}", address) for _ in range(GATEWAYS)]
        try:
            time.sleep(1)
            for number in range(purges):
                path = f"/{number % 50}"
                old = {gateway.read(path) for gateway in gateways}
                assert len(old) == 1, old
                gateways[number % GATEWAYS].remove(path)
                began = time.monotonic()
                waiting = [gateway for gateway in gateways if gateway is not gateways[number % GATEWAYS]]
                while waiting:
                    stale = [gateway for gateway in waiting if gateway.read(path) in old]
                    delays += [time.monotonic() - began] * (len(waiting) - len(stale))
                    waiting = stale
                    assert time.monotonic() - began < 10, "a gateway never noticed"
        finally:
            for gateway in gateways:
                gateway.stop()
    server.shutdown()
    delays = sorted(delay * 1000 for delay in delays)
    print(f"{engine:10} {len(delays):6} sights of {purges} purges: median {delays[len(delays) // 2]:6.1f} ms, "
          f"p99 {delays[len(delays) * 99 // 100]:6.1f} ms, longest {delays[-1]:6.1f} ms", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("engine", nargs="?", default="all", choices=("sqlite", "redis", "postgres", "all"))
    parser.add_argument("--purges", type=int, default=500)
    options = parser.parse_args()
    print(f"machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}; {GATEWAYS} gateways, a store and an origin share it\n")
    for engine in ("sqlite", "redis", "postgres") if options.engine == "all" else (options.engine,):
        measure(engine, options.purges)


if __name__ == "__main__":
    main()
