"""Work queues as users of redis-py write them: nothing is lost, and nothing is done twice.

Whether a worker has waited is never asked of the clock: who waits is counted by the server.
"""

import sys
import threading
import time
import uuid

import redis
from shared import PATIENCE, connect, eventually, refused, run, same

JOBS = 400


def together(*workers):
    """Runs them at once; what one of them raises ends the check."""
    failures = []

    def guarded(work):
        try:
            work()
        except BaseException as failure:
            failures.append(failure)

    threads = [threading.Thread(target=guarded, args=(work,), daemon=True) for work in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    if failures:
        raise failures[0]
    assert not any(thread.is_alive() for thread in threads), "a worker hangs"


def waiting(r, count):
    eventually(f"{count} to wait", lambda: r.info("clients")["blocked_clients"] == count)


def simple():
    """LPUSH and BRPOP: first come, first served; several producers and workers."""
    for protocol in (2, 3):
        r, done = connect(protocol=protocol, decode_responses=True), []

        def produces(producer):
            mine = connect(protocol=protocol)
            for number in range(JOBS // 4):
                mine.lpush("jobs", f"{producer}:{number}")

        def works():
            mine = connect(protocol=protocol, decode_responses=True)
            while (job := mine.brpop("jobs", PATIENCE)[1]) != "stop":
                done.append(job)

        producers = [lambda producer=producer: produces(producer) for producer in range(4)]
        together(*[works] * 6, lambda: (together(*producers), r.lpush("jobs", *["stop"] * 6)))
        same(sorted(done), sorted(f"{producer}:{number}" for producer in range(4) for number in range(JOBS // 4)))
        same(r.exists("jobs"), 0)
        # In the order of their coming, to whoever waits longest.
        order = []

        def takes(name):
            order.append((name, connect(decode_responses=True).brpop("jobs", PATIENCE)[1]))

        threads = []
        for name in "abc":
            threads.append(threading.Thread(target=takes, args=(name,), daemon=True))
            threads[-1].start()
            waiting(r, len(threads))
        r.lpush("jobs", 1, 2, 3)
        for thread in threads:
            thread.join(PATIENCE)
        same(sorted(order), [("a", "1"), ("b", "2"), ("c", "3")])


def priorities():
    r = connect(decode_responses=True)
    r.lpush("low", "l1", "l2")
    r.lpush("high", "h1")
    found = [r.brpop(["high", "middle", "low"], 1) for _ in range(3)]
    same([job for _, job in found], ["h1", "l1", "l2"])
    same([queue for queue, _ in found], ["high", "low", "low"])
    same(r.brpop(["high", "middle", "low"], 0.05), None)


def timeouts():
    """The server gives up after the worker's time, and the library's own timeout breaks nothing."""
    r = connect()
    began = time.monotonic()
    same(r.brpop("jobs", 0.2), None)
    assert time.monotonic() - began >= 0.19
    impatient = connect(socket_timeout=0.1, retry=None)
    refused(redis.TimeoutError, lambda: impatient.brpop("jobs", 0))
    # Its connection is closed, and takes no job with it.
    waiting(r, 0)
    r.lpush("jobs", "kept")
    same(r.brpop("jobs", 1)[1], b"kept")


def reliable():
    """BLMOVE to a list of its own, LREM when done; what a dead worker left goes back."""
    r, done, lock = connect(decode_responses=True), [], threading.Lock()
    r.rpush("jobs", *range(JOBS))
    crashes = threading.Semaphore(3)

    def works(name):
        mine, own = connect(decode_responses=True), f"working:{name}"
        while job := mine.blmove("jobs", own, 0.5, "LEFT", "RIGHT"):
            if int(job) % 50 == 7 and crashes.acquire(blocking=False):
                return
            with mine.pipeline() as p:
                p.lrem(own, 1, job).rpush("done", job)
                same(p.execute()[0], 1)
            with lock:
                done.append(job)

    together(*[lambda name=name: works(name) for name in range(5)])
    left = [key for key in r.scan_iter("working:*", _type="list")]
    same((len(left), len(done)), (3, JOBS - 3))
    for own in left:
        same(r.llen(own), 1)
        assert r.lmove(own, "jobs", "RIGHT", "LEFT")
        same(r.lmove(own, "jobs"), None)
    together(lambda: works("again"))
    same(sorted(map(int, r.lrange("done", 0, -1))), list(range(JOBS)))
    same(r.keys("*"), ["done"])


def delayed():
    """Due jobs by ZRANGEBYSCORE; who removes one has it."""
    r, done = connect(decode_responses=True), []
    now = time.time()
    r.zadd("later", {f"job:{number}": now - JOBS + number for number in range(JOBS)})
    r.zadd("later", {"tomorrow": now + 86_400})

    def works():
        mine = connect(decode_responses=True)
        while due := mine.zrangebyscore("later", "-inf", now, start=0, num=5):
            for job in due:
                if mine.zrem("later", job):
                    done.append(job)

    together(*[works] * 5)
    same(sorted(done), sorted(f"job:{number}" for number in range(JOBS)))
    same(r.zrange("later", 0, -1), ["tomorrow"])
    # To the work queue and out of the set at once, or not at all.
    r.zadd("later", {"due": now - 1})
    with r.pipeline() as p:
        p.watch("later")
        (due,) = p.zrangebyscore("later", "-inf", now)
        p.multi()
        p.zrem("later", due).lpush("jobs", due)
        same(p.execute(), [1, 1])
    same(r.brpop("jobs", 1)[1], "due")


def by_priority():
    """BZPOPMIN gives the lowest first, waits, and gives each to one."""
    r, done = connect(decode_responses=True), []
    r.zadd("urgent", {"c": 3, "a": 1, "b": 2})
    same([r.bzpopmin("urgent", 1)[1] for _ in range(3)], ["a", "b", "c"])
    same(r.bzpopmin("urgent", 0.05), None)

    def works():
        mine = connect(decode_responses=True)
        while (job := mine.bzpopmin("urgent", PATIENCE)[1])[0] != "z":
            done.append(job)

    def produces():
        waiting(r, 5)
        for number in range(JOBS):
            r.zadd("urgent", {f"job:{number}": number % 10})
        r.zadd("urgent", {f"z{number}": 99 for number in range(5)})

    together(*[works] * 5, produces)
    same(sorted(done), sorted(f"job:{number}" for number in range(JOBS)))
    r.zadd("x", {"m": 1}), r.zadd("y", {"n": 2})
    same(r.bzmpop(1, 2, ["x", "y"], max=True, count=9)[0], "x")


def answers():
    """A call to a worker whose answer comes in a list of its own, which goes by itself."""
    r = connect(decode_responses=True)

    def serves():
        mine = connect(decode_responses=True)
        for _ in range(50):
            _, request = mine.blpop("calls", PATIENCE)
            answer, number = request.split()
            with mine.pipeline() as p:
                p.rpush(answer, int(number) ** 2).expire(answer, 100).execute()

    def calls():
        mine = connect(decode_responses=True)
        for number in range(25):
            answer = f"answer:{uuid.uuid4()}"
            mine.rpush("calls", f"{answer} {number}")
            same(mine.blpop(answer, PATIENCE)[1], str(number * number))

    together(serves, calls, calls)
    same(r.keys("*"), [])


def a_bounded_log():
    r = connect(decode_responses=True)
    for number in range(300):
        with r.pipeline() as p:
            p.lpush("log", number).ltrim("log", 0, 99).execute()
    same((r.llen("log"), r.lrange("log", 0, 1), r.lindex("log", -1)), (100, ["299", "298"], "200"))


def waits_through_a_kill():
    """A killed worker's library connects anew and waits again; the job is there once."""
    r, done = connect(decode_responses=True), []
    worker = connect(client_name="worker")
    thread = threading.Thread(target=lambda: done.append(worker.brpop("jobs", PATIENCE)), daemon=True)
    thread.start()
    waiting(r, 1)
    (client,) = [client for client in r.client_list() if client["name"] == "worker"]
    same(client["cmd"], "brpop")
    same(r.client_unblock(client["id"]), True)
    thread.join(PATIENCE)
    same(done, [None])
    thread = threading.Thread(target=lambda: done.append(worker.brpop("jobs", PATIENCE)), daemon=True)
    thread.start()
    waiting(r, 1)
    r.client_kill_filter(_id=client["id"])
    eventually(
        "it to wait again",
        lambda: r.info("clients")["blocked_clients"] == 1 and not r.client_list(client_id=[client["id"]]),
    )
    r.lpush("jobs", "one")
    thread.join(PATIENCE)
    same([list(done[1]), r.exists("jobs")], [[b"jobs", b"one"], 0])


def restart():
    """What was stored is there; who was waiting waits again, as workers do that outlive their server."""
    r, found = connect(decode_responses=True), []

    def works():
        mine = connect()
        while not found:
            try:
                found.extend(mine.brpop("wanted", 1) or [])
            except redis.ConnectionError:
                pass

    worker = threading.Thread(target=works, daemon=True)
    worker.start()
    waiting(r, 1)
    r.rpush("jobs", *range(JOBS))
    same(r.lmpop(1, "jobs", direction="LEFT", count=100)[1][-1], "99")
    r.zadd("later", {"a": 1.5, "b": float("inf")})
    r.hset("job:1", mapping={"state": "new", "tries": 0})
    r.hexpire("job:1", 1_000, "state")
    r.sadd("seen", *range(100))
    print("RESTART", flush=True)
    sys.stdin.readline()
    same(r.lrange("jobs", 0, -1), [str(number) for number in range(100, JOBS)])
    same([r.zscore("later", "a"), r.zscore("later", "b")], [1.5, float("inf")])
    same(r.hgetall("job:1"), {"state": "new", "tries": "0"})
    assert 900 < r.httl("job:1", "state")[0] <= 1_000
    same((r.scard("seen"), r.sismember("seen", 99)), (100, 1))
    r.lpush("wanted", "job")
    worker.join(PATIENCE)
    same(found, [b"wanted", b"job"])


def clean(check):
    def checked():
        check()
        connect().flushall()

    checked.__name__ = check.__name__
    return checked


CHECKS = (
    simple,
    priorities,
    timeouts,
    reliable,
    delayed,
    by_priority,
    answers,
    a_bounded_log,
    waits_through_a_kill,
    restart,
)
run(*map(clean, CHECKS))
