#!/usr/bin/env python3
"""Measures the shared engines: refresh jobs and reads a second, beside redis-benchmark, pgbench and Celery in the same run.

usage: engines.py [redis|postgres|celery|all] [--jobs N]
Needs swift, redis-server, PostgreSQL (initdb, pgbench) and, for Celery, python3-venv and PyPI.
"""

import argparse
import contextlib
import glob
import os
import pathlib
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
TASKS = 64


def spare_port():
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        return sock.getsockname()[1]


def run(*command, **options):
    return subprocess.run(list(map(str, command)), check=True, stdout=subprocess.PIPE, text=True, **options).stdout


def wait_for(port):
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
            return
        time.sleep(0.02)
    sys.exit(f"engines.py: nobody listens on port {port}")


@contextlib.contextmanager
def redis_server():
    folder, port = tempfile.mkdtemp(), spare_port()
    server = subprocess.Popen(
        ["redis-server", "--port", str(port), "--bind", "127.0.0.1", "--dir", folder, "--save", "", "--appendonly", "no"],
        stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port
    finally:
        server.kill()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


@contextlib.contextmanager
def postgres_server():
    programs = sorted(glob.glob("/usr/lib/postgresql/*/bin"), key=lambda path: float(path.split("/")[4]))[-1]
    folder, port = tempfile.mkdtemp(), spare_port()
    # It does not run as root.
    user = ["setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups"] if os.getuid() == 0 else []
    if user:
        shutil.chown(folder, "postgres")
    data = f"{folder}/data"
    run(*user, f"{programs}/initdb", "-D", data, "-A", "trust", "-U", "postgres", "-E", "UTF8", "--locale=C.UTF-8")
    server = subprocess.Popen(
        [*user, f"{programs}/postgres", "-D", data, "-p", str(port), "-k", folder, "-c", "listen_addresses=127.0.0.1",
         "-c", "shared_buffers=1GB"],
        stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        time.sleep(1)
        yield port, programs
    finally:
        server.terminate()
        server.wait()
        shutil.rmtree(folder, ignore_errors=True)


def perennial(url, jobs):
    """Runs the queue benchmark; its rates by name, the best of each."""
    program = run("swift", "build", "-c", "release", "--show-bin-path", cwd=HERE).strip() + "/queue"
    text = run(program, "--store", url, "--jobs", jobs, "--tasks", TASKS)
    print(text, end="")
    best = {}
    for line in text.splitlines():
        match = re.match(r"(.*?)(?:, run \d+)?(?: \(.*\))?\s+(\d+) /s$", line)
        if match:
            best[match[1]] = max(best.get(match[1], 0), int(match[2]))
    return best


def show(what, ours, theirs, whose):
    print(f"{what:44}{ours:>10.0f} /s   {whose:34}{theirs:>10.0f} /s   ratio {ours / theirs:.2f}", flush=True)


def redis(jobs):
    with redis_server() as port:
        best = perennial(f"redis://127.0.0.1:{port}/0", jobs)
        reads = next(rate for name, rate in best.items() if name.startswith("reads"))
        for clients, pipeline in ((TASKS, 1), (1, TASKS)):
            text = run("redis-benchmark", "-p", port, "-t", "get", "-d", 1000, "-n", 400_000, "-r", 50_000, "-c", clients,
                       "-P", pipeline, "-q").replace("\r", "\n")
            theirs = float(re.findall(r"GET: ([\d.]+) requests per second", text)[-1])
            show("reads of one key, 64 at a time", reads, theirs, f"GET, {clients} clients, pipeline {pipeline}")
    return max(rate for name, rate in best.items() if name.startswith("refresh jobs"))


def postgres(jobs):
    with postgres_server() as (port, programs):
        best = perennial(f"postgres://postgres@127.0.0.1:{port}/postgres?timeout=10", jobs)
        reads = next(rate for name, rate in best.items() if name.startswith("reads"))
        psql = ("psql", "-q", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-c")
        run(*psql, "CREATE TABLE kv (key text PRIMARY KEY, value text); INSERT INTO kv SELECT 'https://api.example.com/' || n, "
            "repeat('x', 1000) FROM generate_series(1, 50000) n; ANALYZE kv")
        with tempfile.NamedTemporaryFile("w", suffix=".sql") as script:
            script.write("\\set n random(1, 50000)\nSELECT value FROM kv WHERE key = 'https://api.example.com/' || :n;\n")
            script.flush()
            for clients in (2, TASKS):
                text = run(f"{programs}/pgbench", "-h", "127.0.0.1", "-p", port, "-U", "postgres", "-n", "-M", "prepared", "-f",
                           script.name, "-c", clients, "-j", 2, "-T", 5, "postgres", stderr=subprocess.DEVNULL)
                theirs = float(re.search(r"tps = ([\d.]+)", text)[1])
                show("reads of one key, 64 at a time", reads, theirs, f"prepared select, {clients} clients")


CELERY_APP = """
import celery
app = celery.Celery("bench", broker="redis://127.0.0.1:{port}/1")
app.conf.worker_prefetch_multiplier = 64
done = 0
@app.task(name="perennial.refresh", ignore_result=True)
def refresh(cache, key):
    pass
"""


def celery(count=10_000):
    """How many tasks a second a Celery worker does that have nothing to do."""
    tools = HERE / ".build" / "celery"
    if not (tools / "bin" / "celery").exists():
        run(sys.executable, "-m", "venv", tools)
        run(tools / "bin" / "pip", "install", "-q", "celery==5.7.0", "redis", "packaging")
    with redis_server() as port, tempfile.TemporaryDirectory() as folder:
        (pathlib.Path(folder) / "bench.py").write_text(CELERY_APP.format(port=port))
        run(tools / "bin" / "python", "-c",
            f"import bench\nfor n in range({count}): bench.refresh.delay('http', f'https://api.example.com/{{n}}')", cwd=folder)
        worker = subprocess.Popen(
            [tools / "bin" / "celery", "-A", "bench", "worker", "-P", "threads", "-c", "4", "-l", "ERROR", "--without-gossip",
             "--without-mingle", "--without-heartbeat"],
            cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            def left():
                return (int(run("redis-cli", "-p", port, "-n", 1, "llen", "celery"))
                        + int(run("redis-cli", "-p", port, "-n", 1, "hlen", "unacked")))
            while left() > count * 0.9:
                time.sleep(0.01)
            first, began = left(), time.monotonic()
            while left() > 0:
                time.sleep(0.02)
            return first / (time.monotonic() - began)
        finally:
            worker.terminate()
            worker.wait()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", nargs="?", default="all", choices=("redis", "postgres", "celery", "all"))
    parser.add_argument("--jobs", type=int, default=30_000)
    options = parser.parse_args()
    subprocess.run(["swift", "build", "-c", "release", "--product", "queue"], cwd=HERE, check=True, stdout=sys.stderr)
    print(f"machine: {os.cpu_count()} cores, load {os.getloadavg()[0]:.2f}; servers and clients share it\n")
    rate = None
    if options.what in ("redis", "all"):
        print("== Redis, without a file")
        rate = redis(options.jobs)
    if options.what in ("postgres", "all"):
        print("== PostgreSQL, logged tables, shared_buffers=1GB")
        postgres(options.jobs)
    if options.what in ("celery", "all"):
        print("== Celery on Redis, tasks that do nothing")
        theirs = celery()
        if rate:
            show("refresh jobs end to end on Redis", rate, theirs, "Celery")
        else:
            print(f"{theirs:.0f} /s")


if __name__ == "__main__":
    main()
