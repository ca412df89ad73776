"""Celery with its results in the server: tasks, groups, chains, retries, delays, revoking, by a worker in threads.

Chords are counted by a script, and so are queues that expire; they are left out, as there are no scripts yet. What workers say to
each other goes by such queues, so they are told not to (`--without-gossip`, `--without-mingle`, no remote control).
"""

import sys
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "redis-py"))
from shared import PATIENCE, PORT, connect, eventually, run, same  # noqa: E402

from celery import Celery, chain, group  # noqa: E402
from celery.contrib.testing.worker import start_worker  # noqa: E402
from celery.exceptions import TimeoutError  # noqa: E402

ADDRESS = f"redis://127.0.0.1:{PORT}"
app = Celery("checked", broker=f"{ADDRESS}/1", backend=f"{ADDRESS}/2")
app.conf.update(worker_enable_remote_control=False, broker_connection_retry_on_startup=False, result_expires=1_000)


@app.task
def add(one, other):
    return one + other


@app.task
def fails():
    raise ValueError("as it should")


@app.task(bind=True, max_retries=3)
def tries(self):
    if self.request.retries < 2:
        raise self.retry(countdown=0)
    return self.request.retries


def queued(name="celery"):
    return connect(db=1).llen(name)


def waits_in_the_broker():
    found = [add.delay(number, 1) for number in range(50)]
    same((queued(), found[0].status, found[0].ready()), (50, "PENDING", False))
    add.apply_async((1, 1), queue="other")
    same((queued("other"), app.control.purge(), queued(), queued("other")), (1, 50, 0, 1))
    same({*connect(db=1, decode_responses=True).smembers("_kombu.binding.celery")}, {"celery\x06\x16\x06\x16celery"})


def works():
    found = [add.delay(number, 1) for number in range(50)]
    same([result.get(timeout=PATIENCE) for result in found], [number + 1 for number in range(50)])
    results = connect(db=2)
    same(results.ttl(f"celery-task-meta-{found[0].id}") > 900, True)
    found[0].forget()
    same(results.exists(f"celery-task-meta-{found[0].id}"), 0)
    try:
        fails.delay().get(timeout=PATIENCE)
    except ValueError as error:
        same(str(error), "as it should")
    else:
        raise AssertionError("it did not fail")
    same(tries.delay().get(timeout=PATIENCE), 2)
    same(group(add.s(number, number) for number in range(10))().get(timeout=PATIENCE), [2 * number for number in range(10)])
    same(chain(add.s(1, 2), add.s(3), add.s(4))().get(timeout=PATIENCE), 10)


def delays():
    began = time.monotonic()
    same(add.apply_async((1, 2), countdown=1).get(timeout=PATIENCE), 3)
    assert time.monotonic() - began >= 0.9
    late = add.apply_async((1, 2), countdown=3_600)
    try:
        late.get(timeout=0.2)
        raise AssertionError("too early")
    except TimeoutError:
        pass
    # It waits with the worker, and stays the broker's until it is acknowledged.
    broker = connect(db=1)
    eventually("the worker to hold it", lambda: broker.zcard("unacked_index") == broker.hlen("unacked") == 1)


def goes_back():
    """What a worker that stopped had not done is there for the next."""
    same((queued(), connect(db=1).hlen("unacked")), (1, 0))
    app.control.purge()


def all_checks():
    waits_in_the_broker()
    with start_worker(app, pool="threads", concurrency=4, perform_ping_check=False):
        works()
        delays()
    goes_back()


run(all_checks)
