#!/usr/bin/env python3
"""Does a stale hit cost what a fresh one costs? Two gateways before one origin that takes a second, read side by side.

usage: stale.py [--rounds N] [--seconds N] [--keys N]
Needs python3, wrk (Debian: wrk) and bin/perennial (`make build`).

One gateway's entries are all fresh (refresh after 1 h); those of the other are all stale (refresh after 1 ms), so that it
always has refreshes queued and running, which the slow origin lets end at a few a second.
"""

import argparse
import concurrent.futures
import http.server
import pathlib
import re
import socketserver
import statistics
import subprocess
import tempfile
import threading
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
BODY = b"x" * 1000


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        time.sleep(1)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(BODY)))
        self.end_headers()
        self.wfile.write(BODY)

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingMixIn, http.server.HTTPServer):
    daemon_threads = True
    request_queue_size = 512


def serve(folder, name, origin, refresh_after):
    process = subprocess.Popen(
        [ROOT / "bin/perennial", "serve", "--origin", origin, "--listen", "127.0.0.1:0", "--admin", "none",
         "--store", f"sqlite:{folder}/{name}.sqlite", "--refresh-after", refresh_after, "--expire-after", "7d",
         "--threads", "1", "--log-level", "error"],
        stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    return process, re.search(r" on (http://[0-9.:]+)", line).group(1)


def load(address, keys, seconds, script):
    """Latencies in microseconds, from wrk's own histogram."""
    out = subprocess.run(
        ["wrk", "-t1", "-c16", f"-d{seconds}s", "-s", script, address, "--", str(keys)],
        check=True, stdout=subprocess.PIPE, text=True).stdout
    return [float(n) for n in re.search(r"figures (.*)", out).group(1).split()]


WRK = """
local keys = 1
function init(args) keys = tonumber(args[1]) end
function request() return wrk.format("GET", "/users/" .. math.random(keys)) end
function done(summary, latency, requests)
  print(string.format("figures %f %f %f %d", summary.requests / summary.duration * 1e6,
    latency:percentile(50), latency:percentile(99), summary.errors.status + summary.errors.timeout))
end
"""


def main():
    options = argparse.ArgumentParser()
    options.add_argument("--rounds", type=int, default=7)
    options.add_argument("--seconds", type=int, default=4)
    options.add_argument("--keys", type=int, default=2000)
    options = options.parse_args()
    server = Server(("127.0.0.1", 0), Origin)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    origin = f"http://127.0.0.1:{server.server_address[1]}"
    with tempfile.TemporaryDirectory() as folder:
        script = f"{folder}/keys.lua"
        pathlib.Path(script).write_text(WRK)
        gateways = {}
        try:
            for name, refresh_after in (("fresh", "1h"), ("stale", "1ms")):
                gateways[name] = serve(folder, name, origin, refresh_after)
            with concurrent.futures.ThreadPoolExecutor(200) as pool:
                for _, address in gateways.values():
                    list(pool.map(lambda n: urllib.request.urlopen(f"{address}/users/{n + 1}").read(), range(options.keys)))
            found = {"fresh": [], "stale": []}
            for round in range(options.rounds + 1):
                for name, (_, address) in gateways.items():
                    figures = load(address, options.keys, options.seconds, script)
                    if round > 0:
                        found[name].append(figures)
            print(f"{options.keys} keys, 1,000-byte bodies, 16 connections, the origin takes 1 s; medians of {options.rounds} rounds")
            print(f"{'':8}{'requests/s':>12}{'p50 µs':>10}{'p99 µs':>10}{'errors':>8}")
            medians = {}
            for name, rows in found.items():
                medians[name] = [statistics.median(column) for column in zip(*rows)]
                rate, p50, p99, errors = medians[name]
                print(f"{name:8}{rate:12,.0f}{p50:10,.0f}{p99:10,.0f}{errors:8.0f}")
            print(f"p99 of stale hits ÷ p99 of fresh hits: {medians['stale'][2] / medians['fresh'][2]:.2f}")
        finally:
            for process, _ in gateways.values():
                process.terminate()
                process.wait(30)
            server.shutdown()


main()
