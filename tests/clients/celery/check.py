"""Celery: what waits in the broker and what is known of results; with scripts, a worker in threads.

Who waits for jobs gives back a lock by a script at once: without scripts there is no worker, and jobs are taken one by
one.
"""

import sys
import threading
import time
from pathlib import Path

sys.path.append(str(Path(__file__).parent.parent / "redis-py"))
from shared import PATIENCE, PORT, connect, eventually, knows, run, same  # noqa: E402

from celery import Celery, chain, chord, group  # noqa: E402
from celery.contrib.testing.worker import start_worker  # noqa: E402
from celery.exceptions import TimeoutError  # noqa: E402

ADDRESS = f"redis://127.0.0.1:{PORT}"
app = Celery("checked", broker=f"{ADDRESS}/1", backend=f"{ADDRESS}/2")
app.conf.update(broker_connection_retry_on_startup=False, result_expires=1_000)


@app.task
def add(one, other):
    return one + other


@app.task
def fails():
    raise ValueError("as it should")


@app.task
def together(numbers):
    return sum(numbers)


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
    add.apply_async((1, 1), priority=9)
    same((queued("celery\x06\x169"), queued()), (1, 0))
    same(app.control.purge(), 1)
    same(connect(db=1).smembers("_kombu.binding.celery"), {b"celery\x06\x16\x06\x16celery"})


def is_taken():
    """First come, first served; until it is acknowledged, it can go back."""
    broker = connect(db=1)
    for number in range(3):
        add.delay(number, 1)
    with app.connection() as connection:
        queue = connection.SimpleQueue("celery")
        first, second, third = [queue.get_nowait() for _ in range(3)]
        same([message.payload[0] for message in (first, second, third)], [[0, 1], [1, 1], [2, 1]])
        same((broker.hlen("unacked"), broker.zcard("unacked_index"), queued()), (3, 3, 0))
        first.ack()
        second.requeue()
        same((broker.hlen("unacked"), broker.zcard("unacked_index"), queued()), (1, 1, 1))
        again = queue.get_nowait()
        same((again.payload[0], again.delivery_info["redelivered"]), ([1, 1], True))
        again.ack()
        third.reject()
        try:
            queue.get_nowait()
            raise AssertionError("there is a job")
        except queue.Empty:
            pass
    same((broker.hlen("unacked"), broker.zcard("unacked_index"), queued()), (0, 0, 0))


def results():
    """As a worker stores them, and as who asked hears of them."""
    waiting = app.AsyncResult("some-task")
    same((waiting.state, waiting.result), ("PENDING", None))
    timer = threading.Timer(0.05, lambda: app.backend.store_result("some-task", {"a": [1]}, "SUCCESS"))
    timer.start()
    same((waiting.get(timeout=PATIENCE), waiting.state), ({"a": [1]}, "SUCCESS"))
    same(900 < connect(db=2).ttl("celery-task-meta-some-task") <= 1_000, True)
    waiting.forget()
    same((connect(db=2).keys("celery-task-meta-*"), app.AsyncResult("some-task").state), ([], "PENDING"))


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
    same(
        group(add.s(number, number) for number in range(10))().get(timeout=PATIENCE),
        [2 * number for number in range(10)],
    )
    same(chord([add.s(1, 1), add.s(2, 2)])(together.s()).get(timeout=PATIENCE), 6)
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


def a_worker():
    # The list of bindings stays.
    connect(db=1).delete("other")
    with start_worker(app, pool="threads", concurrency=4, perform_ping_check=False):
        works()
        delays()
    goes_back()


run(waits_in_the_broker, is_taken, results, *([a_worker] if knows("evalsha") else []))
