"""A Celery worker that does Perennial's refreshes in Python: asks the origin, and hands the answer over to Perennial.

    perennial serve --origin https://api.example.com --store redis://HOST/0 --queue celery+redis://HOST/0 \
        --workers 0 --admin 127.0.0.1:8081 --admin-token-file token
    BROKER=redis://HOST/0 PERENNIAL=http://127.0.0.1:8081 TOKEN=$(cat token) celery -A worker worker

`BROKER` is the address behind `celery+`, and `visibility_timeout` must be the same on both sides.
"""
import os
from urllib.error import HTTPError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

from celery import Celery

app = Celery("perennial", broker=os.environ["BROKER"])
app.conf.update(task_ignore_result=True, task_acks_late=True, broker_transport_options={"visibility_timeout": 3600})
KEPT = ["Content-Type", "Content-Language", "ETag", "Last-Modified", "Cache-Control", "Expires", "Vary"]


@app.task(name="perennial.refresh", autoretry_for=(OSError,), retry_backoff=True, max_retries=4)
def refresh(cache, key, generation=None, lease=None, queued_at=None):
    url = key.split(" ")[0]  # Behind a space: the fields that chose a variant.
    with urlopen(Request(url), timeout=30) as answer:  # Credentials of the origin belong here, not into jobs.
        fields = {name: answer.headers[name] for name in KEPT if answer.headers[name]}
        body, status = answer.read(), answer.status
    behind = {"status": status, "fence": generation, "lease": lease}
    query = urlencode({name: value for name, value in behind.items() if value is not None})
    fields["Authorization"] = "Bearer " + os.environ["TOKEN"]
    target = f"{os.environ['PERENNIAL']}/api/entries/{quote(key, safe='')}?{query}"
    try:
        urlopen(Request(target, data=body, headers=fields, method="PUT"), timeout=30).close()
    except HTTPError as error:
        if error.code != 412:  # 412: the entry was written since the job was queued, so this answer is not wanted.
            raise
