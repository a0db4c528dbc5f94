"""A Celery worker that does Perennial's refreshes in Python: asks the origin, and hands the answer over to Perennial.

    pip install -r requirements.txt
    perennial serve --origin https://api.example.com --store redis://HOST/0 --queue celery+redis://HOST/0 \
        --workers 0 --admin 127.0.0.1:8081 --admin-token-file token
    BROKER=redis://HOST/0 PERENNIAL=http://127.0.0.1:8081 TOKEN=$(cat token) celery -A worker worker

`BROKER` is the address behind `celery+`, and `visibility_timeout` must be the same on both sides.
"""
import json
import os
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from celery import Celery
from celery.utils.log import get_task_logger

log = get_task_logger(__name__)
app = Celery("perennial", broker=os.environ["BROKER"])
app.conf.update(task_ignore_result=True, task_acks_late=True, broker_transport_options={"visibility_timeout": 3600})
KEPT = ["Content-Type", "Content-Language", "ETag", "Last-Modified", "Cache-Control", "Expires", "Vary"]
GONE = [404, 410]  # News, not failures: what was stored is not served any more.


@app.task(name="perennial.refresh", autoretry_for=(OSError,), retry_backoff=True, max_retries=4)
def refresh(cache, key, generation=None, lease=None, queued_at=None):
    url = key.split(" ")[0]  # Behind a space: the fields that chose a variant.
    status, fields, body = ask(url)
    behind = {"status": status, "fence": generation, "lease": lease}
    query = urlencode({name: value for name, value in behind.items() if value is not None})
    try:
        tell("PUT", f"entries/{quote(key, safe='')}?{query}", body, fields)
    except HTTPError as error:
        said = error.read().decode(errors="replace").strip()
        if error.code == 412:
            log.info("%s: not wanted, the entry was written or removed since the job was queued", key)
        elif error.code == 400 and status in GONE:
            # The gateway does not keep such an answer: then it keeps none.
            tell("POST", "remove", json.dumps({"url": url}).encode(), {"Content-Type": "application/json"}, accept=[404])
            log.info("%s: gone (%d), removed", key, status)
        elif error.code < 500:
            # No route leads to it, it may not be stored, the token is wrong: to try again would not help.
            log.warning("%s: refused by the gateway (%d): %s", key, error.code, said)
        else:
            raise
    else:
        log.info("%s: %s", key, "gone (%d)" % status if status in GONE else "refreshed")


def ask(url):
    """What the origin answers: status, fields, body. A failure is an OSError, and the task is tried again."""
    try:
        with urlopen(Request(url), timeout=30) as answer:  # Credentials of the origin belong here, not into jobs.
            return answer.status, kept(answer), answer.read()
    except HTTPError as error:
        if error.code not in GONE:
            raise
        with error:
            return error.code, kept(error), error.read()


def kept(answer):
    return {name: answer.headers[name] for name in KEPT if answer.headers[name]}


def tell(method, path, body, fields, accept=()):
    """Asks Perennial's admin API."""
    fields = fields | {"Authorization": "Bearer " + os.environ["TOKEN"]}
    request = Request(f"{os.environ['PERENNIAL']}/api/{path}", data=body, headers=fields, method=method)
    try:
        urlopen(request, timeout=30).close()
    except HTTPError as error:
        if error.code not in accept:
            raise
