#!/usr/bin/env python3
"""The gateway beside nginx and Varnish: hits, stale hits, latencies at a given rate, memory, in one run.

usage: gateway.py [hits|zipf|latency|stale|disk|restart|start|memory|connections|threads|all] [--rounds N] [--seconds N] [--keys N]
Needs python3, nginx, varnishd and wrk (Debian: nginx-light varnish wrk), a C compiler (swift brings clang), swift, and bin/perennial
(`make build`).

Each server has one thread and, with taskset, one core; wrk has the other. Bodies are 1,000 bytes. The servers are read in turn,
several rounds; what is printed are medians, and ratios of what was measured in the same round.
"""

import argparse
import asyncio
import concurrent.futures
import contextlib
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import threading
import time
import urllib.request

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parent
BODY = '{"name":"' + "x" * 989 + '"}'
CONNECTIONS = 32
COLUMNS = ("requests/s", "p50 µs", "p99 µs", "p99.9 µs", "errors")
WIDTHS = (12, 11, 11, 11, 8)

WRK = """
-- Asks for /users/1 to /users/KEYS: evenly, or by Zipf's law with exponent 0.99. Requests are made beforehand.
local requests, places, next = {}, {}, 0
function init(args)
  local keys, law, seed = tonumber(args[1]), args[2], tonumber(args[3])
  math.randomseed(seed)
  for key = 1, keys do requests[key] = wrk.format("GET", "/users/" .. key) end
  local sums, sum = {}, 0
  for key = 1, keys do sum = sum + (law == "zipf" and key ^ -0.99 or 1); sums[key] = sum end
  for place = 1, 200000 do
    local wanted, low, high = math.random() * sum, 1, keys
    while low < high do
      local middle = math.floor((low + high) / 2)
      if sums[middle] < wanted then low = middle + 1 else high = middle end
    end
    places[place] = low
  end
end
function request()
  next = next % 200000 + 1
  return requests[places[next]]
end
function done(summary, latency)
  local errors = summary.errors
  print(string.format("figures %f %f %f %f %d", summary.requests / summary.duration * 1e6, latency:percentile(50),
    latency:percentile(99), latency:percentile(99.9),
    errors.connect + errors.read + errors.write + errors.status + errors.timeout))
end
"""


class SlowOrigin(asyncio.Protocol):
    """Answers everything after a second. One thread does for thousands of requests at a time: Varnish refreshes all keys at once."""

    def __init__(self, answer):
        self.answer = answer
        self.head = b""

    def connection_made(self, transport):
        self.transport = transport

    def data_received(self, data):
        *requests, self.head = (self.head + data).split(b"\r\n\r\n")
        for _ in requests:
            asyncio.get_running_loop().call_later(1, self.transport.write, self.answer)


def spare_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def wait_for(port):
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    sys.exit(f"gateway.py: nobody listens on port {port}")


class Bench:
    """Starts servers in a folder of its own, and stops them."""

    def __init__(self, options):
        self.options = options
        self.folder = pathlib.Path(tempfile.mkdtemp())
        self.folder.chmod(0o755)
        self.script = self.folder / "keys.lua"
        self.script.write_text(WRK)
        self.processes = {}
        self.count = 0

    def close(self):
        for process in self.processes.values():
            process.terminate()
        for process in self.processes.values():
            with contextlib.suppress(subprocess.TimeoutExpired):
                process.wait(20)
            process.kill()
        shutil.rmtree(self.folder, ignore_errors=True)

    def start(self, name, *command, core="0", **options):
        assert name not in self.processes, f"there is a {name} already"
        process = subprocess.Popen(["taskset", "-c", core, *map(str, command)], **options)
        self.processes[name] = process
        return process

    def stop(self, name):
        process = self.processes.pop(name)
        process.terminate()
        process.wait(30)

    def origin(self, cache_control="max-age=86400"):
        """A quick origin: nginx that answers everything with the same bytes."""
        port = spare_port()
        self.nginx_process("origin", port, f"""
            location / {{ default_type application/json; add_header Cache-Control "{cache_control}";
                          add_header Last-Modified "Sun, 06 Nov 1994 08:49:37 GMT"; return 200 '{BODY}'; }}""")
        return f"http://127.0.0.1:{port}"

    @contextlib.contextmanager
    def slow_origin(self, cache_control):
        answer = (
            "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
            f"Cache-Control: {cache_control}\r\nContent-Length: {len(BODY)}\r\n\r\n{BODY}").encode()
        loop = asyncio.new_event_loop()
        address = concurrent.futures.Future()

        async def serve():
            server = await loop.create_server(lambda: SlowOrigin(answer), "127.0.0.1", 0, backlog=1024)
            address.set_result("http://127.0.0.1:%d" % server.sockets[0].getsockname()[1])

        def run():
            # On the core of the load: the other one is the servers'.
            os.sched_setaffinity(0, {1})
            loop.create_task(serve())
            loop.run_forever()

        thread = threading.Thread(target=run, daemon=True)
        thread.start()
        yield address.result(10)
        loop.call_soon_threadsafe(loop.stop)
        thread.join(10)

    def nginx_process(self, name, port, server, http="", core="0", workers=1):
        folder = self.folder / name
        folder.mkdir(exist_ok=True)
        (folder / "nginx.conf").write_text(f"""
            {"user root;" if os.geteuid() == 0 else ""}
            daemon off; worker_processes {workers}; pid {folder}/pid; error_log {folder}/error.log crit;
            events {{ worker_connections 16384; }}
            http {{
              access_log off; keepalive_requests 1000000000; keepalive_timeout 300; tcp_nodelay on;
              client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f;
              uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
              {http}
              server {{ listen 127.0.0.1:{port} backlog=1024; {server} }}
            }}""")
        self.start(name, "nginx", "-p", folder, "-c", folder / "nginx.conf", core=core, stderr=subprocess.DEVNULL)
        wait_for(port)

    def nginx(self, origin, name="nginx", core="0", workers=1):
        port = spare_port()
        folder = self.folder / name
        self.nginx_process(name, port, f"""
              location / {{
                proxy_pass {origin}; proxy_http_version 1.1; proxy_set_header Connection "";
                proxy_cache c; proxy_cache_key $uri; proxy_cache_lock on;
                proxy_cache_use_stale updating error timeout; proxy_cache_background_update on;
              }}""", http=f"proxy_cache_path {folder}/cache levels=1:2 keys_zone=c:200m max_size=4g inactive=7d;",
            core=core, workers=workers)
        return f"http://127.0.0.1:{port}"

    def varnish(self, origin, name="varnish", core="0"):
        port = spare_port()
        folder = self.folder / name
        folder.mkdir()
        host, origin_port = origin.removeprefix("http://").split(":")
        (folder / "v.vcl").write_text(f"""
            vcl 4.1;
            backend default {{ .host = "{host}"; .port = "{origin_port}"; }}
            sub vcl_backend_response {{ set beresp.grace = 7d; }}""")
        self.start(
            name, "varnishd", "-F", "-a", f"127.0.0.1:{port}", "-f", folder / "v.vcl", "-n", folder / "work", "-s",
            "malloc,2g", "-p", "thread_pools=1", "-T", "none", core=core, stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL)
        wait_for(port)
        return f"http://127.0.0.1:{port}"

    def perennial(self, origin, *arguments, name="perennial", core="0", threads=1, store=None):
        store = store or f"sqlite:{self.folder}/{name}.sqlite"
        process = self.start(
            name, ROOT / "bin/perennial", "serve", "--origin", origin, "--listen", "127.0.0.1:0", "--admin", "none",
            "--store", store, "--threads", threads, "--log-level", "error", *arguments, core=core,
            stdout=subprocess.PIPE, text=True)
        return re.search(r" on (http://[0-9.:]+)", process.stdout.readline()).group(1)

    def bare_nio(self):
        # Built as bin/perennial is.
        build = ["swift", "build", "-c", "release", "--package-path", HERE, "--scratch-path", HERE / ".build" / "bare-nio",
                 "--product", "bare-nio", "-Xswiftc", "-cross-module-optimization"]
        subprocess.run(build, check=True, stdout=subprocess.DEVNULL)
        path = HERE / ".build/bare-nio/release/bare-nio"
        process = self.start("bare NIO", path, len(BODY), stdout=subprocess.PIPE, text=True)
        return process.stdout.readline().split()[-1]

    def fill(self, address, keys, readers=64):
        # The same Host as wrk sends: it is part of Varnish's key.
        host, port = address.removeprefix("http://").split(":")

        def read(number):
            with socket.create_connection((host, int(port))) as sock:
                file = sock.makefile("rb")
                for key in range(number + 1, keys + 1, readers):
                    sock.sendall(f"GET /users/{key} HTTP/1.1\r\nHost: {host}:{port}\r\n\r\n".encode())
                    length = 0
                    if b" 200 " not in file.readline():
                        sys.exit(f"gateway.py: {address} did not answer /users/{key} with a 200")
                    while (line := file.readline()) not in (b"\r\n", b""):
                        if line.lower().startswith(b"content-length:"):
                            length = int(line.split(b":")[1])
                    file.read(length)

        with concurrent.futures.ThreadPoolExecutor(readers) as pool:
            list(pool.map(read, range(min(readers, keys))))

    def load(self, address, keys, law="zipf", seconds=None, connections=CONNECTIONS, core="1", threads=1):
        """Requests a second; 50th, 99th and 99.9th percentile in microseconds; errors."""
        self.count += 1
        out = subprocess.run(
            ["taskset", "-c", core, "wrk", f"-t{threads}", f"-c{connections}", f"-d{seconds or self.options.seconds}s", "-s",
             self.script, address, "--", str(keys), law, str(self.count)],
            check=True, stdout=subprocess.PIPE, text=True).stdout
        return [float(figure) for figure in re.search(r"figures (.*)", out).group(1).split()]

    def paced(self, address, keys, rate, connections=CONNECTIONS, core="1"):
        """As `load`, but at a constant rate, with latencies from when each request was due."""
        program = self.folder / "open-loop"
        if not program.exists():
            compiler = shutil.which("cc") or shutil.which("clang") or sys.exit("gateway.py: there is no C compiler")
            subprocess.run([compiler, "-D_GNU_SOURCE", "-O2", "-o", program, HERE / "open-loop.c"], check=True)
        host, port = address.removeprefix("http://").split(":")
        out = subprocess.run(
            ["taskset", "-c", core, program, host, port, str(rate), str(self.options.seconds), str(connections), str(keys)],
            check=True, stdout=subprocess.PIPE, text=True).stdout
        return [float(figure) for figure in re.search(r"figures (.*)", out).group(1).split()]

    def compare(self, title, servers, measure, by="requests/s"):
        """Measures all servers in turn, and prints the medians and the ratios to Perennial's figures in that column."""
        found = {name: [] for name in servers}
        for round in range(self.options.rounds + 1):
            for name, address in servers.items():
                figures = measure(address)
                if round > 0:
                    found[name].append(figures)
        column = COLUMNS.index(by)
        print(f"\n== {title}")
        print(" " * 18 + "".join(map(str.rjust, COLUMNS, WIDTHS)) + f"   Perennial ÷ it, {by} (rounds)")
        for name, rows in found.items():
            medians = [f"{statistics.median(figures):,.0f}" for figures in zip(*rows)]
            ratios = sorted(ours[column] / theirs[column] for ours, theirs in zip(found["perennial"], rows))
            ratio = "" if name == "perennial" else f"{statistics.median(ratios):10.2f} ({ratios[0]:.2f} to {ratios[-1]:.2f})"
            print(f"{name:18}" + "".join(map(str.rjust, medians, WIDTHS)) + f"   {ratio}")
        return found


def caches(bench, keys):
    origin = bench.origin()
    memory = f"{max(64, keys * 3 // 1000)}MB"
    servers = {
        "perennial": bench.perennial(origin, "--memory", memory),
        "nginx": bench.nginx(origin), "varnish": bench.varnish(origin), "bare NIO": bench.bare_nio(),
    }
    for name, address in servers.items():
        if name != "bare NIO":
            bench.fill(address, keys)
    return servers


def hits(bench):
    bench.compare("hits on one key", caches(bench, 1), lambda address: bench.load(address, 1))


def zipf(bench):
    keys = bench.options.keys or 100_000
    bench.compare(f"hits on {keys:,} keys, Zipf 0.99", caches(bench, keys), lambda address: bench.load(address, keys))


def latency(bench):
    """Latencies at 70 % of the highest rate: of the slower one's for both, then of each one's own."""
    keys = bench.options.keys or 1000
    origin = bench.origin()
    servers = {"perennial": bench.perennial(origin), "nginx": bench.nginx(origin)}
    for address in servers.values():
        bench.fill(address, keys)
    found = bench.compare(
        f"hits on {keys:,} keys, as fast as they go", servers, lambda address: bench.load(address, keys, law="even"))
    highest = {name: statistics.median(row[0] for row in rows) for name, rows in found.items()}
    slower = min(highest.values())
    for title, rates in (
        (f"{0.7 * slower:,.0f}/s, 70 % of the slower one's highest rate", {name: 0.7 * slower for name in servers}),
        ("70 % of each one's own highest rate", {name: 0.7 * rate for name, rate in highest.items()}),
    ):
        by_address = {servers[name]: rate for name, rate in rates.items()}
        found = bench.compare(
            f"the same hits at {title}", servers, lambda address: bench.paced(address, keys, by_address[address]), by="p99 µs")
        for name, rows in found.items():
            if statistics.median(row[0] for row in rows) < 0.98 * rates[name]:
                print(f"{name} did not keep up with {rates[name]:,.0f}/s: its times are those of a queue that grew")


def stale(bench):
    """nginx is slow here because it answers nothing more on a connection that a background update began on, until that has ended."""
    keys = bench.options.keys or 2000
    with bench.slow_origin("max-age=1") as origin, bench.slow_origin("max-age=86400") as fresh:
        limits = ["--refresh-after", "1ms", "--expire-after", "7d"]
        servers = {
            "perennial": bench.perennial(origin, *limits),
            "all fresh": bench.perennial(fresh, "--refresh-after", "1h", "--expire-after", "7d", name="all fresh"),
            "varnish": bench.varnish(origin), "nginx": bench.nginx(origin),
        }
        for address in servers.values():
            bench.fill(address, keys, readers=256)
        time.sleep(2)
        bench.compare(
            f"{keys:,} keys, all stale, an origin that takes 1 s (and Perennial with all fresh)", servers,
            lambda address: bench.load(address, keys, law="even"))


def resident(process):
    status = pathlib.Path(f"/proc/{process.pid}/status").read_text()
    return int(re.search(r"VmRSS:\s+(\d+)", status).group(1)) * 1024


def memory(bench):
    """What a process holds that has read all entries out of its file, beyond one that did the same and let go of them."""
    keys = bench.options.keys or 100_000
    origin = bench.origin()
    sizes = {}
    for name, limit in [("filled", f"{keys * 3 // 1000}MB"), ("holding", f"{keys * 3 // 1000}MB"), ("idle", "1MB")]:
        address = bench.perennial(origin, "--memory", limit)
        if name == "filled":
            bench.fill(address, 1)
            print(f"\nidle, before the first entries: {resident(bench.processes['perennial']) / 1e6:.0f} MB", file=sys.stderr)
        bench.fill(address, keys)
        sizes[name] = resident(bench.processes["perennial"])
        bench.stop("perennial")
    print(f"\n== memory for each of {keys:,} entries of 1,000 bytes, all in the memory tier")
    print(f"{(sizes['holding'] - sizes['idle']) / keys:,.0f} bytes: {sizes['holding'] / 1e6:.0f} MB, "
          f"with a memory tier of 1 MB {sizes['idle'] / 1e6:.0f} MB, just fetched {sizes['filled'] / 1e6:.0f} MB")


def disk(bench):
    keys = bench.options.keys or 100_000
    origin = bench.origin()
    servers = {
        "perennial": bench.perennial(origin, "--memory", f"{max(1, keys * 1000 // 100 // 1_000_000)}MB"),
        "nginx": bench.nginx(origin),
    }
    for address in servers.values():
        bench.fill(address, keys)
    bench.compare(
        f"{keys:,} keys read evenly, the memory tier has room for 1 % of them; nginx from files in the page cache", servers,
        lambda address: bench.load(address, keys, law="even"))


def restart(bench):
    keys = bench.options.keys or 100_000
    origin = bench.origin()
    arguments = ["--memory", f"{keys * 3 // 1000}MB"]
    address = bench.perennial(origin, *arguments)
    bench.fill(address, keys)
    first, steady = [], []
    for _ in range(bench.options.rounds):
        bench.stop("perennial")
        address = bench.perennial(origin, *arguments)
        first.append(bench.load(address, keys, seconds=1)[0])
        bench.load(address, keys)
        steady.append(bench.load(address, keys)[0])
    print(f"\n== restart with {keys:,} entries, Zipf 0.99")
    print(f"first second {statistics.median(first):,.0f}/s, then {statistics.median(steady):,.0f}/s, "
          f"ratio {statistics.median(a / b for a, b in zip(first, steady)):.2f}")


FILL = """
local key, last = 0, 1
function init(args) last, key = tonumber(args[1]), tonumber(args[2]) end
function request()
  key = key % last + 1
  return wrk.format("GET", "/users/" .. key)
end
"""


def start(bench):
    """How long `perennial serve` needs to be ready on a large file, and how large it is then."""
    keys = bench.options.keys or 1_000_000
    origin = bench.origin()
    limits = ["--memory", "64MB", "--store-limit", "100GB"]
    address = bench.perennial(origin, *limits)
    script = bench.folder / "fill.lua"
    script.write_text(FILL)
    stored, began = 0, time.monotonic()
    while stored < keys and time.monotonic() - began < 900:
        # wrk stops by time only: in parts, until every key has been asked for.
        subprocess.run(
            ["wrk", "-t1", "-c64", "-d20s", "-s", script, address, "--", str(keys), str(stored)],
            check=True, stdout=subprocess.DEVNULL)
        stored = int(subprocess.run(
            [ROOT / "bin/perennial", "stats", "--store", f"sqlite:{bench.folder}/perennial.sqlite", "--json"], check=True,
            stdout=subprocess.PIPE, text=True).stdout.split('"entries"')[1].split(":")[1].split(",")[0].strip(" }\n"))
        print(f"filled {stored:,}", file=sys.stderr)
    bench.stop("perennial")
    for _ in range(bench.options.rounds):
        began = time.monotonic()
        address = bench.perennial(origin, *limits)
        ready = time.monotonic() - began
        with urllib.request.urlopen(f"{address}/users/{keys // 2}") as answer:
            body, status = answer.read().decode(), answer.headers["Cache-Status"]
        hit = time.monotonic() - began - ready
        if body != BODY or "; hit" not in status:
            sys.exit(f"gateway.py: the first hit is wrong: {status}")
        print(f"{stored:,} entries: ready after {ready * 1000:.0f} ms, the first hit took {hit * 1000:.1f} ms, "
              f"resident {resident(bench.processes['perennial']) / 1e6:.0f} MB")
        bench.stop("perennial")


def connections(bench):
    servers = caches(bench, 1)
    address = servers["perennial"]
    host, port = "127.0.0.1", int(address.split(":")[-1])
    alone = bench.load(address, 1)
    before = resident(bench.processes["perennial"])
    held = [socket.create_connection((host, port)) for _ in range(5000)]
    for sock in held[:2500]:
        sock.sendall(b"GET /users/1 HTTP/1.1\r\nHo")
    time.sleep(1)
    among = bench.load(address, 1)
    after = resident(bench.processes["perennial"])
    for sock in held:
        sock.close()
    print("\n== hits beside 5,000 connections, half of them idle, half with half a request")
    print(f"{alone[0]:,.0f}/s, p99 {alone[2]:,.0f} µs alone; {among[0]:,.0f}/s, p99 {among[2]:,.0f} µs among them; "
          f"{(after - before) / 5000:,.0f} bytes a connection")


def threads(bench):
    origin = bench.origin()
    servers = {
        "perennial": bench.perennial(origin, threads=2, core="0,1"),
        "one thread": bench.perennial(origin, threads=1, name="one thread", core="0,1"),
        "nginx": bench.nginx(origin, core="0,1", workers=2),
    }
    for address in servers.values():
        bench.fill(address, 1)
    bench.compare(
        "hits on one key, two threads, the load on the same two cores", servers,
        lambda address: bench.load(address, 1, core="0,1", threads=2))


def main():
    figures = {f.__name__: f for f in (hits, zipf, latency, stale, disk, restart, start, memory, connections, threads)}
    options = argparse.ArgumentParser(usage=__doc__.split("usage: ")[1].split("\n")[0])
    options.add_argument("figure", nargs="?", default="all", choices=[*figures, "all"])
    options.add_argument("--rounds", type=int, default=5)
    options.add_argument("--seconds", type=int, default=4)
    options.add_argument("--keys", type=int)
    options = options.parse_args()
    print(f"machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}")
    for name, figure in figures.items():
        if options.figure in (name, "all"):
            bench = Bench(options)
            try:
                figure(bench)
            finally:
                bench.close()


main()
