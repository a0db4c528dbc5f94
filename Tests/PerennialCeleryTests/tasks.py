"""A Celery application for tests: what its tasks were called with goes into the Redis list `done`.

    tasks.py send NAME ARGS-AS-JSON [OPTIONS-AS-JSON]    sends a task, as any Python program would

Read from the environment: BROKER, VISIBILITY (seconds).
"""
import json
import os
import sys
import time

from celery import Celery
from redis import Redis

BROKER = os.environ["BROKER"]
app = Celery("tasks", broker=BROKER)
app.conf.update(
    task_ignore_result=True,
    task_acks_late=True,
    worker_prefetch_multiplier=1,
    broker_connection_retry_on_startup=True,
    broker_transport_options={
        "visibility_timeout": float(os.environ.get("VISIBILITY", "3600")),
        # Looks each second for what others have left unacknowledged; the default is each 100.
        "unacked_restore_interval": 1,
        "unacked_restore_throttle": 1,
    },
)


def note(name, values):
    Redis.from_url(BROKER).rpush("done", json.dumps([name, *values]))


@app.task(name="perennial.refresh")
def refresh(cache, key, generation=None, lease=None, queued_at=None):
    note("refresh", [cache, key, generation, lease, queued_at])


@app.task(name="perennial.hang")
def hang(cache, key, **rest):
    note("hang", [cache, key])
    time.sleep(600)


@app.task(name="other")
def other(number):
    note("other", [number])


if __name__ == "__main__":
    name, arguments = sys.argv[2], json.loads(sys.argv[3])
    options = json.loads(sys.argv[4]) if len(sys.argv) > 4 else {}
    for values in arguments:
        app.send_task(name, args=values, **options)
