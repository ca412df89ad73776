"""redis-py, unchanged: both protocol versions, blocking and asyncio, texts and bytes.

Prints RESTART when the server is to be started again, and waits for a line.
"""

import asyncio
import sys
import threading
import time

import redis
import redis.asyncio
from shared import PORT, connect, eventually, refused, run, same

BINARY = bytes(range(256))


def strings(r, text):
    """`text` is what the client makes of bytes."""
    same(r.set("greeting", "hello"), True)
    same(r.get("greeting"), text(b"hello"))
    same(r.get("nothing"), None)
    same(r.set("greeting", "no", nx=True), None)
    same(r.set("greeting", "hello you", xx=True, get=True), text(b"hello"))
    same(r.append("greeting", "!"), 10)
    same(r.strlen("greeting"), 10)
    same(r.getrange("greeting", 6, -1), text(b"you!"))
    same(r.setrange("greeting", 6, "all"), 10)
    same(r.mset({"a": 1, "b": "zwei", "c": ""}), True)
    same(r.mget("a", "b", "c", "nothing"), [text(b"1"), text(b"zwei"), text(b""), None])
    same(r.msetnx({"a": 2, "d": 4}), False)
    same(r.getset("b", "two"), text(b"zwei"))
    same(r.getdel("b"), text(b"two"))
    same([r.incr("n"), r.incr("n", 41), r.decr("n", 2)], [1, 42, 40])
    same(r.incrbyfloat("f", 0.1), 0.1)
    same(r.incrbyfloat("f", 0.2), 0.3)
    same(r.lcs("greeting", "a", len=True), 0)
    assert "not an integer" in refused(redis.ResponseError, lambda: r.incr("greeting"))
    same(r.delete("greeting", "a", "c", "n", "f", "nothing"), 5)
    same(r.dbsize(), 0)


def keys(r, text):
    r.mset({f"user:{number}": number for number in range(2_000)})
    found = set(r.scan_iter(match="user:*", count=100))
    same(found, {text(b"user:%d" % number) for number in range(2_000)})
    same(len(r.keys("user:1??")), 100)
    same(r.exists("user:1", "user:2", "user:x"), 2)
    same(r.type("user:1"), text(b"string"))
    same(r.object("encoding", "user:1"), text(b"int"))
    assert r.randomkey() in found
    same(r.rename("user:1", "renamed"), True)
    same(r.copy("renamed", "copy"), True)
    same(r.get("copy"), text(b"1"))
    same(r.touch("copy", "renamed"), 2)
    same(r.unlink("copy", "renamed"), 2)
    assert r.memory_usage("user:2") > 0
    same(r.flushdb(), True)
    same(r.dbsize(), 0)


def expiry(r, text):
    r.set("brief", "v", px=30)
    r.set("session", "v", ex=100)
    same(r.ttl("session"), 100)
    same(r.expire("session", 50, gt=True), False)
    same(r.expire("session", 500, gt=True), True)
    assert 499_000 < r.pttl("session") <= 500_000
    assert r.expiretime("session") > time.time()
    same(r.persist("session"), True)
    same(r.ttl("session"), -1)
    same(r.getex("session", ex=10), text(b"v"))
    same(r.ttl("nothing"), -2)
    eventually("a key to expire", lambda: not r.exists("brief"))
    same(r.get("brief"), None)
    r.flushdb()


def transactions(r, text):
    with r.pipeline() as p:
        p.set("k", 1).incr("k").get("k").expire("k", 10)
        same(p.execute(), [True, 2, text(b"2"), True])
    with r.pipeline(transaction=False) as p:
        for number in range(5_000):
            p.incr("total")
        same(p.execute(), list(range(1, 5_001)))
    with r.pipeline() as p:
        p.set("word", "x").incr("word").set("after", "y")
        assert "not an integer" in refused(redis.ResponseError, p.execute)
    same(r.get("after"), text(b"y"))
    with r.pipeline() as p:
        p.watch("k")
        value = int(p.get("k"))
        r.set("k", 100)
        p.multi()
        p.set("k", value + 1)
        refused(redis.WatchError, p.execute)
    same(r.get("k"), text(b"100"))

    def double(p):
        value = int(p.get("k"))
        p.multi()
        p.set("k", value * 2)

    same(r.transaction(double, "k"), [True])
    same(r.get("k"), text(b"200"))
    r.flushdb()


def server(r, text):
    same(r.ping(), True)
    same(r.echo("x"), text(b"x"))
    # What the library makes of these differs between its versions of the protocol.
    assert r.client_getname() in ("check", b"check")
    assert r.client_id() > 0
    mine = [client for client in r.client_list() if client["name"] == "check"]
    same({client["lib-name"] for client in mine}, {"redis-py"})
    info = r.info()
    same((info["redis_version"], info["loading"], info["role"]), ("7.4.0", 0, "master"))
    same(r.config_get("appendfsync"), {"appendfsync": "everysec"})
    same(r.config_set("maxmemory-policy", "noeviction"), True)
    same(r.role()[0], text(b"master"))
    assert abs(r.time()[0] - time.time()) < 5
    assert r.lastsave().timestamp() <= time.time() + 1
    assert r.command_count() > 50
    assert r.command_getkeys("MSET", "a", 1, "b", 2) in (["a", "b"], [b"a", b"b"])
    same(r.command()["get"]["arity"], 2)
    assert r.save() and r.bgsave()


def binary():
    r = connect()
    for key, value in [(b"\r\n\0 key", BINARY), (b"", b"empty name"), (b"empty", b""), (b"large", BINARY * 40_000)]:
        r.set(key, value)
        same(r.get(key), value)
    r.flushdb()


def databases():
    first, second = connect(db=1), connect(db=2)
    first.set("k", "first")
    same(first.move("k", 2), True)
    same(second.get("k"), b"first")
    same(first.swapdb(1, 2), True)
    same((first.get("k"), second.get("k")), (b"first", None))
    same(first.flushall(), True)
    same(first.dbsize(), 0)


def pool():
    pool = redis.BlockingConnectionPool(port=PORT, max_connections=5, timeout=20)

    def count():
        r = redis.Redis(connection_pool=pool)
        for _ in range(100):
            r.incr("hits")

    threads = [threading.Thread(target=count) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    r = redis.Redis(connection_pool=pool)
    same(r.getdel("hits"), b"2000")
    assert len(r.client_list()) <= 5


async def asynchronous(protocol):
    r = redis.asyncio.Redis(port=PORT, protocol=protocol, decode_responses=True, socket_timeout=20)
    same(await r.set("k", 1, ex=100), True)
    same(await r.ttl("k"), 100)
    same(sorted(await asyncio.gather(*(r.incr("k") for _ in range(80)))), list(range(2, 82)))
    async with r.pipeline(transaction=True) as p:
        same(await p.set("k", "v").get("k").execute(), [True, "v"])
    async with r.pipeline() as p:
        await p.watch("k")
        await r.set("k", "other")
        p.multi()
        p.set("k", "mine")
        try:
            await p.execute()
            raise AssertionError("no WatchError")
        except redis.WatchError:
            pass
    await r.mset({f"k{number}": number for number in range(500)})
    same(len([key async for key in r.scan_iter("k?*")]), 500)
    same((await r.info("server"))["redis_mode"], "standalone")
    await r.flushdb()
    await r.aclose()


def restart():
    r = connect(protocol=3, decode_responses=True)
    r.set("kept", "yes")
    print("RESTART", flush=True)
    sys.stdin.readline()
    # The pooled connection is dead; the client notices and connects anew.
    same(r.get("kept"), "yes")
    r.flushall()


def main():
    for protocol in (2, 3):
        for decode in (False, True):
            r = connect(protocol=protocol, decode_responses=decode, client_name="check", health_check_interval=1)
            text = bytes.decode if decode else bytes
            for check in (strings, keys, expiry, transactions, server):
                check(r, text)
                print(f"{check.__name__}, RESP{protocol}, {'texts' if decode else 'bytes'}", flush=True)
            r.close()
        asyncio.run(asynchronous(protocol))
        print(f"asyncio, RESP{protocol}", flush=True)
    run(binary, databases, pool, restart)


main()
