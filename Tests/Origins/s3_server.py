"""A little object store that believes a request by its AWS signature (version 4) alone, which it computes by botocore."""
import sys
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from botocore.auth import S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

objects = {}


class Signed(S3SigV4Auth):
    """Signs as of when the request was signed, and what it signed."""

    def __init__(self, names):
        super().__init__(Credentials("key", "secret"), "s3", "us-east-1")
        self.names = names

    def headers_to_sign(self, request):
        from botocore.compat import HTTPHeaders

        chosen = HTTPHeaders()
        for name in self.names:
            chosen[name] = request.headers[name]
        return chosen

    def payload(self, request):
        return request.headers["x-amz-content-sha256"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", **fields):
        self.send_response(status)
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def is_signed(self):
        said = self.headers.get("Authorization", "")
        if "SignedHeaders=" not in said:
            return False
        names = said.split("SignedHeaders=")[1].split(",")[0].split(";")
        if any(name not in self.headers for name in names):
            return False
        request = AWSRequest(
            method=self.command, url=f"http://{self.headers['Host']}{self.path}", headers=dict(self.headers.items()))
        request.context["timestamp"] = self.headers["x-amz-date"]
        auth = Signed(names)
        text = auth.string_to_sign(request, auth.canonical_request(request))
        return said.endswith("Signature=" + auth.signature(text, request))

    def do_GET(self):
        if not self.is_signed():
            return self.answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        body = objects.get(self.path)
        if body is None:
            return self.answer(404, b"<Error><Code>NoSuchKey</Code></Error>")
        self.answer(200, body, ETag='"%x"' % (hash(body) & 0xFFFFFFFF))

    do_HEAD = do_GET

    def do_PUT(self):
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline().split(b";")[0], 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            while self.rfile.readline().strip():
                pass
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        if not self.is_signed():
            return self.answer(403, b"<Error><Code>SignatureDoesNotMatch</Code></Error>")
        objects[self.path] = body
        self.answer(200, ETag='"%x"' % (hash(body) & 0xFFFFFFFF))

    def do_DELETE(self):
        if not self.is_signed():
            return self.answer(403)
        objects.pop(self.path, None)
        self.answer(204)


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[1])), Handler).serve_forever()
