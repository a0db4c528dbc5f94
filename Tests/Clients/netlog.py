#!/usr/bin/env python3
"""What Chromium asked a server and was answered, out of the log of its network (--log-net-log): the page can't know all of that.

usage: netlog.py FILE ADDRESS

Prints a line for each answer from ADDRESS: protocol, path, status, Cache-Status; then how many HTTP/2 connections there were.
"""

import json
import sys

log, address = sys.argv[1:]
with open(log) as file:
    log = json.load(file)
names = {number: name for name, number in log["constants"]["logEventTypes"].items()}
urls, protocols, sessions = {}, {}, set()
for event in log["events"]:
    source, name, details = event["source"]["id"], names[event["type"]], event.get("params", {})
    if name == "URL_REQUEST_START_JOB" and "url" in details:
        urls[source] = details["url"]
    elif name == "HTTP_TRANSACTION_HTTP2_SEND_REQUEST_HEADERS":
        protocols[source] = "h2"
    elif name == "HTTP_TRANSACTION_SEND_REQUEST_HEADERS":
        protocols[source] = "http/1.1"
    elif name == "HTTP2_SESSION_INITIALIZED":
        sessions.add(source)
    elif name == "HTTP_TRANSACTION_READ_RESPONSE_HEADERS" and urls.get(source, "").startswith(f"{address}/"):
        status = details["headers"][0].split()[1]
        fields = dict(line.lower().split(": ", 1) for line in details["headers"][1:] if ": " in line)
        said = fields.get("cache-status", "nothing").removeprefix("perennial; ")
        print(protocols.get(source), urls[source].removeprefix(address), status, said)
print("connections", len(sessions))
