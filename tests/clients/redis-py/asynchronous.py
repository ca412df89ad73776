"""redis-py's asyncio half: many tasks, pipelines, pub/sub, commands that are cancelled half way, pools, reconnecting."""

import asyncio

import redis
import redis.asyncio as aio
from redis.asyncio.retry import Retry
from redis.backoff import ConstantBackoff
from shared import PATIENCE, PORT, SOCKET, run, same


def connect(**options):
    return aio.Redis(port=PORT, **{"socket_timeout": PATIENCE, **options})


async def refused(error, awaitable, text=""):
    try:
        found = await awaitable
    except error as refusal:
        assert text in str(refusal), f"{refusal!s} instead of {text}"
        return
    raise AssertionError(f"{found!r} instead of an error")


async def eventually(what, condition):
    async with asyncio.timeout(PATIENCE):
        while not await condition():
            await asyncio.sleep(0.001)


async def tasks(protocol):
    r = connect(protocol=protocol)
    same(sorted(await asyncio.gather(*(r.incr("n") for _ in range(80)))), list(range(1, 81)))
    found = await asyncio.gather(*(r.set(f"k{n}", n) for n in range(80)))
    same(found, [True] * 80)
    same(await asyncio.gather(*(r.get(f"k{n}") for n in range(80))), [b"%d" % n for n in range(80)])
    await refused(redis.ResponseError, r.execute_command("NOSUCH"), "unknown command 'NOSUCH'")
    await r.flushall()
    await r.aclose()


async def pipelines(protocol):
    r = connect(protocol=protocol, decode_responses=True)
    async with r.pipeline(transaction=False) as p:
        for number in range(2_000):
            p.incr("n")
        same(await p.execute(), list(range(1, 2_001)))
    async with r.pipeline() as p:
        found = await p.set("word", "x").incr("word").get("word").execute(raise_on_error=False)
        same((found[0], type(found[1]), found[2]), (True, redis.ResponseError, "x"))

    async def counts():
        mine = connect(protocol=protocol)
        for _ in range(20):

            async def step(p):
                value = int(await p.get("counter") or 0)
                p.multi()
                p.set("counter", value + 1)

            await mine.transaction(step, "counter")
        await mine.aclose()

    await asyncio.gather(*(counts() for _ in range(4)))
    same(await r.get("counter"), "80")
    await r.flushall()
    await r.aclose()


async def messages(protocol):
    r = connect(protocol=protocol, decode_responses=True)
    async with r.pubsub() as p:
        await p.subscribe("news")
        await p.psubscribe("n*")
        await p.ssubscribe("shard")
        kinds = [(await p.get_message(timeout=PATIENCE))["type"] for _ in range(3)]
        same(kinds, ["subscribe", "psubscribe", "ssubscribe"])
        same(await p.get_message(timeout=0.01), None)
        waiting = asyncio.create_task(p.get_message(timeout=PATIENCE))
        await asyncio.sleep(0)
        same((await r.publish("news", "hello"), await r.spublish("shard", "s")), (2, 1))
        found = [await waiting, await p.get_message(timeout=PATIENCE), await p.get_message(timeout=PATIENCE)]
        same([(m["type"], m["data"]) for m in found], [("message", "hello"), ("pmessage", "hello"), ("smessage", "s")])
        # Killed, it comes back with all that it had subscribed to.
        same(await r.client_kill_filter(_type="pubsub"), 1)

        async def gone():
            return not await r.client_list(_type="pubsub")

        await eventually("the subscriber to be gone", gone)

        async def back():
            await p.get_message(timeout=0.01)
            return await r.pubsub_numsub("news") == [("news", 1)] and await r.pubsub_numpat() == 1

        await eventually("the subscriptions to be back", back)
        while await p.get_message(timeout=0.01):
            pass
        same(await r.publish("news", "again"), 2)
        same((await p.get_message(timeout=PATIENCE))["data"], "again")
    await r.aclose()


async def listening(protocol):
    r = connect(protocol=protocol)
    p = r.pubsub(ignore_subscribe_messages=True)
    await p.subscribe("queue")

    async def publishes():
        async def there():
            return await r.pubsub_numsub("queue") == [(b"queue", 1)]

        await eventually("the subscription", there)
        async with r.pipeline(transaction=False) as pipe:
            for number in range(500):
                pipe.publish("queue", number)
            same(await pipe.execute(), [1] * 500)

    publisher = asyncio.create_task(publishes())
    found = []
    async for m in p.listen():
        found.append(int(m["data"]))
        if len(found) == 500:
            break
    same(found, list(range(500)))
    await publisher
    await p.aclose()
    await r.aclose()


async def cancelled(protocol):
    """A command that is cancelled while its reply is under way never gives that reply to another."""
    r = connect(protocol=protocol)
    await r.set("large", b"v" * 500_000)
    await r.set("small", b"s")
    for turn in range(50):
        task = asyncio.create_task(r.get("large"))
        for _ in range(turn % 7):
            await asyncio.sleep(0)
        task.cancel()
        try:
            same(len(await task), 500_000)
        except asyncio.CancelledError:
            pass
        same(await r.get("small"), b"s")
        same(await r.strlen("large"), 500_000)
    p = r.pipeline(transaction=True)
    for _ in range(100):
        p.get("large")
    task = asyncio.create_task(p.execute())
    await asyncio.sleep(0.001)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    same(await r.get("small"), b"s")
    await r.flushall()
    await r.aclose()


async def pools(protocol):
    pool = aio.BlockingConnectionPool(port=PORT, max_connections=3, timeout=PATIENCE, protocol=protocol, client_name="p")
    r = aio.Redis(connection_pool=pool)
    same(sorted(await asyncio.gather(*(r.incr("n") for _ in range(100)))), list(range(1, 101)))
    assert 1 <= len([c for c in await r.client_list() if c["name"] == "p"]) <= 3
    await pool.aclose()
    r = connect(protocol=protocol, retry=Retry(ConstantBackoff(0.01), 5), client_name="victim")
    other = connect()
    await r.set("k", "v")
    for _ in range(5):
        mine = await r.client_id()
        await other.client_kill_filter(_id=mine)
        same(await r.get("k"), b"v")
    unix = aio.Redis(unix_socket_path=SOCKET, protocol=protocol)
    same(await unix.get("k"), b"v")
    await other.flushall()
    for client in (r, other, unix):
        await client.aclose()


async def walks(protocol):
    r = connect(protocol=protocol, decode_responses=True)
    await r.mset({f"k{number}": number for number in range(1_000)})
    same(len({key async for key in r.scan_iter("k*", count=50)}), 1_000)
    same(await r.unlink(*[f"k{number}" for number in range(1_000)]), 1_000)
    lock = r.lock("resource", timeout=30)
    same(await lock.acquire(), True)
    same((await lock.locked(), await lock.owned()), (True, True))
    same(await r.lock("resource").acquire(blocking=False), False)
    await r.flushall()
    await r.aclose()


def in_both(check):
    def both():
        for protocol in (2, 3):
            asyncio.run(check(protocol))

    both.__name__ = check.__name__
    return both


run(*map(in_both, (tasks, pipelines, messages, listening, cancelled, pools, walks)))
