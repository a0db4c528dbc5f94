#!/usr/bin/env python3
"""The origin behind the gateway that real clients are tried with: it counts what it is asked, and answers when it is let.

usage: origin.py PORT

The last folder of an address says how it is answered: /ANY/NAME/fresh/1 may be kept for an hour, /ANY/NAME/stale/1 is always
stale, and so on (see `answer`). /page/ is the folder of that name beside this file. What is below /_/ is for the test:

GET  /_/count?PATH      how often PATH was asked for
GET  /_/waiting?PATH    how many requests for PATH are held at the moment
GET  /_/received?PATH   how many bytes of bodies sent to PATH have come
POST /_/close?PATH      hold the requests for PATH (of /large/: its second half)
POST /_/open?PATH       and let them go
"""

import collections
import contextlib
import gzip
import hashlib
import http.server
import json
import pathlib
import sys
import threading

PAGE = pathlib.Path(__file__).resolve().parent / "page"
LARGE = b"".join(b"%07d\n" % number for number in range(131072))
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
HOUR = "max-age=3600"
LIFETIMES = {
    "fresh": HOUR,
    "stale": "max-age=0, stale-while-revalidate=86400, stale-if-error=86400",
    "expired": "max-age=0, stale-if-error=86400",
}
TYPES = {
    ".html": "text/html; charset=utf-8", ".css": "text/css", ".js": "text/javascript", ".png": "image/png",
    ".json": "application/json",
}


class State:
    def __init__(self):
        self.changed = threading.Condition()
        self.counts = collections.Counter()
        self.waiting = collections.Counter()
        self.received = collections.Counter()
        self.closed = set()

    def pass_gate(self, path):
        with self.changed:
            self.waiting[path] += 1
            self.changed.wait_for(lambda: path not in self.closed)
            self.waiting[path] -= 1


class Origin(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def handle_one_request(self):
        # Clients and gateways may hang up when they like.
        with contextlib.suppress(OSError):
            return super().handle_one_request()
        self.close_connection = True

    def any_method(self):
        state = self.server.state
        path, _, query = self.path.partition("?")
        if path.startswith("/_/"):
            return self.control(state, path.removeprefix("/_/"), query)
        body = self.read_body(state)
        with state.changed:
            state.counts[path] += 1
            count = state.counts[path]
        if "/large/" not in path:
            state.pass_gate(path)
        self.answer(path, count, body)

    do_GET = do_HEAD = do_POST = do_PUT = any_method

    def control(self, state, command, path):
        with state.changed:
            figures = {"count": state.counts, "waiting": state.waiting, "received": state.received}
            if command in figures:
                said = figures[command][path]
            else:
                {"close": state.closed.add, "open": state.closed.discard}[command](path)
                state.changed.notify_all()
                said = 0
        self.send(200, str(said).encode(), {"Content-Type": "text/plain"})

    def read_body(self, state):
        """Sent as a length or in chunks; counted while it comes."""
        body = b""

        def take(length):
            nonlocal body
            while length > 0 and (part := self.rfile.read1(length)):
                length -= len(part)
                body += part
                with state.changed:
                    state.received[self.path] += len(part)

        if "chunked" in self.headers.get("Transfer-Encoding", ""):
            while length := int(self.rfile.readline().split(b";")[0], 16):
                take(length)
                self.rfile.readline()
            while self.rfile.readline() not in (b"\r\n", b""):
                pass
        else:
            take(int(self.headers.get("Content-Length", 0)))
        return body

    def answer(self, path, count, body):
        kind = path.split("/")[-2]
        if kind == "page":
            return self.file(path.rsplit("/", 1)[1] or "index.html", count)
        if body or self.command in ("POST", "PUT"):
            seen = {"method": self.command, "sha256": hashlib.sha256(body).hexdigest(), "type": self.headers.get("Content-Type")}
            return self.send(200, json.dumps(seen).encode(), {"Content-Type": "application/json"})
        said = json.dumps({"path": path, "count": count, "greeting": "Grüße, 世界 ✓"}, ensure_ascii=False).encode()
        fields = {"Content-Type": "application/json", "Cache-Control": LIFETIMES.get(kind, HOUR)}
        if kind in LIFETIMES:
            # The same entity tag for every answer of a fresh address; stale ones change each time.
            tag = f'"{path}"' if kind == "fresh" else f'"{path} {count}"'
            self.send(200, said, fields | {"ETag": tag, "Last-Modified": DATE})
        elif kind == "gzip":
            self.send(200, gzip.compress(said), fields | {"Content-Encoding": "gzip", "Vary": "Accept-Encoding"})
        elif kind == "moved":
            self.send(301, b"", fields | {"Location": path.replace("/moved/", "/fresh/")})
        elif kind == "missing":
            self.send(404, b'{"error": "nothing here"}', fields)
        elif kind == "chunks":
            self.chunks(fields)
        elif kind == "large":
            self.large(path)
        elif kind == "broken":
            self.send(200, LARGE[:len(LARGE) // 2], {"Content-Type": "text/plain"}, length=len(LARGE))
            self.close_connection = True
        else:
            self.send(500, b"origin.py: no such address", {"Content-Type": "text/plain"})

    def file(self, name, count):
        if name == "data.json":
            content = json.dumps({"greeting": "Grüße, 世界 ✓", "count": count}, ensure_ascii=False).encode()
        elif (PAGE / name).is_file():
            content = (PAGE / name).read_bytes()
        else:
            return self.send(404, b"", {"Cache-Control": HOUR})
        tag = f'"{hashlib.sha256(content).hexdigest()[:16]}"'
        # Browsers ask each time for the page, the gateway does not.
        lifetimes = {"Cache-Control": "no-cache", "Perennial-Cache-Control": "max-age=3600, stale-while-revalidate=86400"}
        if name != "index.html":
            lifetimes = {"Cache-Control": "max-age=3600, stale-while-revalidate=86400"}
        self.send(200, content, lifetimes | {"Content-Type": TYPES[pathlib.Path(name).suffix], "ETag": tag})

    def large(self, path):
        half = len(LARGE) // 2
        self.send(200, LARGE[:half], {"Content-Type": "text/plain", "Cache-Control": HOUR}, length=len(LARGE))
        self.wfile.flush()
        self.server.state.pass_gate(path)
        self.wfile.write(LARGE[half:])

    def chunks(self, fields):
        self.send(200, None, fields | {"Transfer-Encoding": "chunked"})
        for number in range(100):
            line = b"line %d\n" % number
            self.wfile.write(b"%x\r\n%s\r\n" % (len(line), line))
        self.wfile.write(b"0\r\n\r\n")

    def send(self, status, body, fields, length=None):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        if body is not None:
            self.send_header("Content-Length", str(length or len(body)))
        self.end_headers()
        if body and self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 256


if __name__ == "__main__":
    server = Server(("127.0.0.1", int(sys.argv[1])), Origin)
    server.state = State()
    server.serve_forever()
