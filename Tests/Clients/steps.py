"""What requests and httpx are both tried with. Each brings a `Client`, which says where they differ.

usage: CLIENT.py alive|dead GATEWAY ORIGIN FOLDER [CA]

alive: the origin answers. dead: it does not any more, and what `alive` read has to be there still. FOLDER is the part of the
origin that this run has for itself; CA, the authority of the gateway's certificate. Each line that is printed is a claim, what
is expected and what was found, with tabs between.
"""

import concurrent.futures
import hashlib
import sys
import time
import traceback
import urllib.request

GREETING = "Grüße, 世界 ✓"
LARGE = b"".join(b"%07d\n" % number for number in range(131072))
LINES = b"".join(b"line %d\n" % number for number in range(100))
HALF = len(LARGE) // 2


def check(claim, expected, got):
    print(claim, expected, got, sep="\t", flush=True)


def cache(answer, beginning=""):
    """What Cache-Status says; of that only the beginning that is expected, if it is so."""
    said = answer.headers.get("Cache-Status", "").removeprefix("perennial; ")
    return beginning if beginning and said.startswith(beginning) else said


def raised(function):
    try:
        function()
    except Exception as error:
        return type(error).__name__
    return "nothing"


def until(condition, seconds=30):
    """Whether it came true."""
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


class Origin:
    """The way to the origin past the gateway, for one folder of it."""

    def __init__(self, address, folder):
        self.address = address
        self.folder = folder
        # Without what the environment says of proxies.
        self.opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))

    def ask(self, command, path, data=None):
        with self.opener.open(f"{self.address}/_/{command}?{self.folder}{path}", data=data, timeout=30) as answer:
            return int(answer.read())

    def count(self, path):
        return self.ask("count", path)

    def waiting(self, path):
        return self.ask("waiting", path)

    def received(self, path):
        return self.ask("received", path)

    def close(self, path):
        self.ask("close", path, b"")

    def open(self, path):
        self.ask("open", path, b"")


class Steps:
    def __init__(self, client, origin):
        self.client = client
        self.ask = client.ask
        self.origin = origin

    def first_and_second_read(self):
        first = self.ask("/fresh/1")
        check("the first read is fetched and stored", "200 fwd=uri-miss; stored", f"{first.status_code} {cache(first)}")
        check("… and is the origin's JSON", GREETING, first.json()["greeting"])
        check("… in the version of HTTP that was meant", self.client.version, self.client.version_of(first))
        second = self.ask("/fresh/1")
        check("the second is a hit", "200 hit", f"{second.status_code} {cache(second, 'hit')}")
        check("… with the same bytes and an Age", "True True", f"{second.content == first.content} {second.headers['Age'].isdigit()}")
        check("… and the origin was asked once", 1, self.origin.count("/fresh/1"))

    def one_connection(self):
        for number in range(50):
            self.ask(f"/fresh/{number % 5}")
        check("all requests so far took one connection", 1, self.client.connections())

    def conditions(self):
        known = self.ask("/fresh/1")
        for name, value in (("If-None-Match", known.headers["ETag"]), ("If-Modified-Since", known.headers["Last-Modified"])):
            answer = self.ask("/fresh/1", headers={name: value})
            check(f"{name}: 304 without a body, from the cache", "304 0 hit",
                  f"{answer.status_code} {len(answer.content)} {cache(answer, 'hit')}")
        answer = self.ask("/fresh/1", headers={"If-None-Match": '"another"'})
        check("another entity tag gets the whole", "200 True", f"{answer.status_code} {answer.content == known.content}")
        answer = self.ask("/fresh/1", headers={"Range": "bytes=2-5"})
        check("a range is that range", "206 path", f"{answer.status_code} {answer.text}")
        answer = self.ask("/fresh/1", "HEAD")
        check("HEAD has the length and no body", f"{len(known.content)} 0",
              f"{answer.headers['Content-Length']} {len(answer.content)}")
        check("… and the origin still was asked once", 1, self.origin.count("/fresh/1"))

    def other_kinds_of_answers(self):
        for claim, expected in (("gzip is unpacked", "fwd=uri-miss; stored"), ("… also out of the cache", "hit")):
            answer = self.ask("/gzip/1")
            check(claim, f"{GREETING} {expected}", f"{answer.json()['greeting']} {cache(answer, expected)}")
        for claim in ("a redirection is followed", "… and was asked for once"):
            answer = self.ask("/moved/1")
            check(claim, "301 200 /fresh/1 1", f"{answer.history[0].status_code} {answer.status_code} "
                  f"{answer.json()['path'].removeprefix(self.origin.folder)} {self.origin.count('/moved/1')}")
        self.ask("/missing/1")
        answer = self.ask("/missing/1")
        check("a 404 is one, and kept", "404 1", f"{answer.status_code} {self.origin.count('/missing/1')}")
        for claim, expected in (("chunks arrive whole", "fwd=uri-miss; stored"), ("… also out of the cache", "hit")):
            with self.client.stream("/chunks/1") as (answer, parts):
                content = b"".join(parts)
            check(claim, f"True {expected}", f"{content == LINES} {cache(answer, expected)}")

    def what_is_not_shared(self):
        answer = self.ask("/fresh/mine", auth=("user", "secret"))
        check("a request with a password passes", "fwd=bypass", cache(answer, "fwd=bypass"))
        self.client.session.cookies.set("session", "1")
        answer = self.ask("/fresh/mine")
        self.client.session.cookies.clear()
        check("… one with a cookie, too", "fwd=bypass 2", f"{cache(answer, 'fwd=bypass')} {self.origin.count('/fresh/mine')}")

    def writes(self):
        answer = self.ask("/echo/1", "POST", json={"greeting": GREETING})
        seen = answer.json()
        check("POST of JSON arrives", "POST application/json fwd=method", f"{seen['method']} {seen['type']} {cache(answer, 'fwd=method')}")
        self.ask("/fresh/written")
        self.ask("/fresh/written", "PUT", data=b"new")
        answer = self.ask("/fresh/written")
        check("PUT removes what was stored for its address", "3 fwd=uri-miss; stored", f"{self.origin.count('/fresh/written')} {cache(answer)}")
        came = []

        def parts():
            yield LARGE[:HALF]
            came.append(until(lambda: self.origin.received("/echo/2") >= HALF))
            yield LARGE[HALF:]

        answer = self.ask("/echo/2", "POST", data=parts())
        check("a body from a generator: the origin has its first half before there is a second", [True], came)
        check("… and it arrives whole", hashlib.sha256(LARGE).hexdigest(), answer.json()["sha256"])

    def streams(self):
        self.origin.close("/large/1")
        with self.client.stream("/large/1") as (_, parts):
            content = b"".join(next(parts) for _ in range(20))
            check("of a large body the beginning is here before the origin sends the end", "True 1",
                  f"{content == LARGE[:len(content)]} {self.origin.waiting('/large/1')}")
            self.origin.open("/large/1")
            content += b"".join(parts)
        check("… and it arrives whole", True, content == LARGE)
        check("a body that breaks off is an error", self.client.broken, raised(lambda: self.ask("/broken/1")))
        check("… and the next request works", 200, self.ask("/fresh/1").status_code)
        with self.client.stream("/large/1") as (_, parts):
            next(parts)
        check("a body that is not read to its end harms nothing", 200, self.ask("/fresh/1").status_code)

    def time_outs(self):
        self.origin.close("/fresh/slow")
        check("a client that waits for 0.5 s gets its time-out", "ReadTimeout", raised(lambda: self.ask("/fresh/slow", timeout=0.5)))
        check("… other addresses are answered meanwhile", 200, self.ask("/fresh/1").status_code)
        self.origin.open("/fresh/slow")
        answer = self.ask("/fresh/slow")
        check("… what it asked for was fetched all the same, once", "200 1", f"{answer.status_code} {self.origin.count('/fresh/slow')}")

    def many_readers(self):
        self.origin.close("/fresh/together")
        with concurrent.futures.ThreadPoolExecutor(20) as pool:
            readers = [pool.submit(self.ask, "/fresh/together") for _ in range(20)]
            until(lambda: self.origin.waiting("/fresh/together") > 0)
            self.origin.open("/fresh/together")
            statuses = [reader.result().status_code for reader in readers]
        check("20 readers at once ask the origin once", "20 1", f"{statuses.count(200)} {self.origin.count('/fresh/together')}")

    def stale_answers(self):
        self.ask("/stale/1")
        self.origin.close("/stale/1")
        for claim in ("a stale answer does not wait for the origin", "… however often it is read"):
            answer = self.ask("/stale/1", timeout=10)
            check(claim, "1 hit True", f"{answer.json()['count']} {cache(answer, 'hit')} {'detail=refreshing' in cache(answer)}")
        check("… which is asked behind, once", "True 1",
              f"{until(lambda: self.origin.waiting('/stale/1') > 0)} {self.origin.waiting('/stale/1')}")
        self.origin.open("/stale/1")
        check("… and its new answer comes", True, until(lambda: self.ask("/stale/1").json()["count"] > 1))
        self.ask("/expired/1")
        self.origin.close("/expired/1")
        answer = self.ask("/expired/1", timeout=10)
        check("what has expired is served when the origin is slow", "1 hit True",
              f"{answer.json()['count']} {cache(answer, 'hit')} {'detail=origin-slow' in cache(answer)}")
        self.origin.open("/expired/1")

    def the_origin_is_dead(self):
        for path, status in (("/fresh/1", 200), ("/gzip/1", 200), ("/chunks/1", 200), ("/missing/1", 404)):
            answer = self.ask(path)
            check(f"{path} is still served", f"{status} hit", f"{answer.status_code} {cache(answer, 'hit')}")
        for path, detail in (("/stale/1", "refreshing"), ("/expired/1", "origin-failed")):
            answer = self.ask(path)
            check(f"{path} is served stale", f"200 {GREETING} hit True",
                  f"{answer.status_code} {answer.json()['greeting']} {cache(answer, 'hit')} {detail in cache(answer)}")
        answer = self.ask("/fresh/never")
        check("what was never read is an error with a sentence", "True True",
              f"{answer.status_code in (502, 503)} {20 < len(answer.text) < 500}")
        check("a write is an error", 502, self.ask("/echo/1", "POST", data=b"x").status_code)
        check("… and all that took one connection", 1, self.client.connections())

    alive = (first_and_second_read, one_connection, conditions, other_kinds_of_answers, what_is_not_shared, writes, streams,
             time_outs, many_readers, stale_answers)
    dead = (the_origin_is_dead,)


def main(client, steps=Steps, arguments=sys.argv[1:]):
    phase, gateway, origin, folder, *ca = arguments
    tried = steps(client(gateway + folder, ca[0] if ca else True), Origin(origin, folder))
    for step in getattr(steps, phase):
        # A step that ends early leaves the others alone.
        try:
            step(tried)
        except Exception as error:
            traceback.print_exc()
            check(step.__name__.replace("_", " "), "to run to its end", " ".join(f"{type(error).__name__}: {error}".split()))
