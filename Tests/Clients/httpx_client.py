#!/usr/bin/env python3
"""httpx through the gateway: see steps.py. A first argument, HTTP/1.1 or HTTP/2, says what it is to speak."""

import asyncio
import contextlib
import ssl
import sys

import httpx

import steps

version = sys.argv[1]
AT_ONCE = 200


class Client:
    version = version
    broken = "RemoteProtocolError"

    def __init__(self, gateway, ca):
        self.gateway = gateway
        self.made = 0
        # With TLS httpx offers both and takes what the gateway chooses; without, it must know beforehand.
        self.options = {
            "http1": version == "HTTP/1.1" or gateway.startswith("https:"), "http2": version == "HTTP/2",
            "verify": True if ca is True else ssl.create_default_context(cafile=ca), "trust_env": False, "timeout": 30,
            "follow_redirects": True,
        }
        self.session = httpx.Client(**self.options)

    def ask(self, path, method="GET", data=None, **options):
        return self.session.request(method, self.gateway + path, content=data, extensions={"trace": self.trace}, **options)

    @contextlib.contextmanager
    def stream(self, path):
        with self.session.stream("GET", self.gateway + path, extensions={"trace": self.trace}) as answer:
            yield answer, answer.iter_bytes(8000)

    def version_of(self, answer):
        return answer.http_version

    def connections(self):
        """How many were made."""
        return self.made

    def trace(self, event, _):
        self.made += event == "connection.connect_tcp.complete"

    async def all_at_once(self, path):
        """Statuses and versions of many requests, and how many connections they took."""
        made = 0

        async def trace(event, _):
            nonlocal made
            made += event == "connection.connect_tcp.complete"

        async with httpx.AsyncClient(**self.options) as session:
            # The first makes the connection that the others share.
            await session.get(self.gateway + path, extensions={"trace": trace})
            answers = await asyncio.gather(*(
                session.get(f"{self.gateway}{path}{number}", extensions={"trace": trace}) for number in range(AT_ONCE)))
        return {(answer.status_code, answer.http_version) for answer in answers}, made


class Steps(steps.Steps):
    def many_at_once(self):
        if version == "HTTP/2":
            found, made = asyncio.run(self.client.all_at_once("/fresh/at-once"))
            steps.check(f"{AT_ONCE} different addresses at once take one connection", ({(200, version)}, 1), (found, made))

    alive = (*steps.Steps.alive, many_at_once)


steps.main(Client, Steps, sys.argv[2:])
