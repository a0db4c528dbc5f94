#!/usr/bin/env python3
"""requests through the gateway: see steps.py."""

import contextlib

import requests

from steps import main


class Client:
    version = "HTTP/1.1"
    broken = "ChunkedEncodingError"

    def __init__(self, gateway, ca):
        self.gateway = gateway
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.verify = ca

    def ask(self, path, method="GET", timeout=30, **options):
        return self.session.request(method, self.gateway + path, timeout=timeout, **options)

    @contextlib.contextmanager
    def stream(self, path):
        with self.ask(path, stream=True) as answer:
            yield answer, answer.iter_content(8000)

    def version_of(self, answer):
        return {10: "HTTP/1.0", 11: "HTTP/1.1"}[answer.raw.version]

    def connections(self):
        """How many were made."""
        pools = self.session.get_adapter(self.gateway).poolmanager.pools
        return sum(pools[key].num_connections for key in pools.keys())


main(Client)
