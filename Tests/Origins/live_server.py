"""A page that listens: to an event stream, and through a WebSocket that says back what it is told."""
import base64
import hashlib
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

PAGE = b"""<!doctype html><title>live</title><p id=seen></p>
<script>
// The page is loaded when the image is, and that comes when all has been seen.
const id = Math.random()
document.write("<img src=/hold?" + id + ">")
const seen = [], say = text => { seen.push(text); document.getElementById("seen").textContent = seen.join(" ")
    if (seen.length == 5) fetch("/done?" + id, {method: "POST"}) }
const events = new EventSource("/events")
events.onmessage = event => { say("event:" + event.data); if (event.data == "3") events.close() }
const socket = new WebSocket("ws://" + location.host + "/socket")
socket.onopen = () => { socket.send("one"); socket.send("two") }
socket.onmessage = message => say("echo:" + message.data)
</script>"""
done = set()
changed = threading.Condition()


def wait_for(name, seconds):
    with changed:
        changed.wait_for(lambda: name in done, seconds)


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def send(self, body, kind):
        self.send_response(200)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/events":
            self.send_response(200)
            self.send_header("Content-Type", "text/event-stream")
            self.send_header("Connection", "close")
            self.end_headers()
            for number in (1, 2, 3):
                self.wfile.write(b"data: %d\n\n" % number)
                self.wfile.flush()
                time.sleep(0.3)
            self.close_connection = True
        elif self.path == "/socket":
            token = self.headers["Sec-WebSocket-Key"] + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
            self.send_response(101)
            self.send_header("Upgrade", "websocket")
            self.send_header("Connection", "Upgrade")
            self.send_header("Sec-WebSocket-Accept", base64.b64encode(hashlib.sha1(token.encode()).digest()).decode())
            self.end_headers()
            while head := self.rfile.read(2):
                length, mask = head[1] & 127, self.rfile.read(4)
                data = bytes(byte ^ mask[place % 4] for place, byte in enumerate(self.rfile.read(length)))
                if head[0] & 15 == 8:
                    break
                self.wfile.write(bytes([0x81, length]) + data)
            self.close_connection = True
        elif self.path.startswith("/hold?"):
            wait_for(self.path.split("?")[1], 15)
            self.send(b"", "image/png")
        else:
            self.send(PAGE, "text/html")

    def do_POST(self):
        with changed:
            done.add(self.path.split("?")[1])
            changed.notify_all()
        self.send(b"", "text/plain")


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
