"""redis-py's client-side cache: answers from memory until the server says that a key has changed.

redis-py offers it to servers that report 7.4 or newer; the library is used as it is.
"""

import threading

from redis.cache import CacheConfig
from shared import PATIENCE, connect, eventually, run, same


def cached(**options):
    return connect(protocol=3, cache_config=CacheConfig(max_size=options.pop("max_size", 1_000)), **options)


def gets(r):
    return r.info("commandstats").get("cmdstat_get", {}).get("calls", 0)


def hits_and_invalidations():
    r, other = cached(decode_responses=True), connect()
    cache = r.get_cache()
    other.set("k", "one")
    same(r.get("k"), "one")
    before = gets(other)
    for _ in range(100):
        same(r.get("k"), "one")
    same((gets(other) - before, cache.size), (0, 1))
    other.set("k", "two")
    eventually("the new value", lambda: r.get("k") == "two")
    other.delete("k")
    eventually("the key to be gone", lambda: r.get("k") is None)
    # What is not there is not kept.
    same(cache.size, 0)
    other.set("k", "three")
    same(r.get("k"), "three")
    # Its own writes, too.
    r.set("k", "four")
    same(r.get("k"), "four")
    other.set("k", "five", px=30)
    same(eventually("the expiry", lambda: r.get("k") is None), True)


def several_keys():
    r, other = cached(decode_responses=True), connect()
    other.mset({"a": 1, "b": 2, "c": 3})
    same(r.mget("a", "b"), ["1", "2"])
    same(r.mget("b", "c"), ["2", "3"])
    same(r.get_cache().size, 2)
    other.set("a", 10)
    eventually("the new value", lambda: r.mget("a", "b") == ["10", "2"])
    # That of the keys that did not change stayed.
    same(r.get_cache().size, 2)
    other.mset({"a": 0, "c": 0})
    eventually("both new values", lambda: r.mget("a", "b") == ["0", "2"] and r.mget("b", "c") == ["2", "0"])
    other.rename("c", "d")
    eventually("it to be gone", lambda: r.mget("b", "c") == ["2", None])


def flushes():
    r, other = cached(), connect()
    for flush in (other.flushdb, other.flushall):
        other.mset({f"k{number}": number for number in range(50)})
        same([r.get(f"k{number}") for number in range(50)], [b"%d" % number for number in range(50)])
        same(r.get_cache().size, 50)
        flush()
        eventually("nothing to be there", lambda: r.get("k0") is None)
        same(r.get_cache().size, 0)


def is_full():
    r, other = cached(max_size=10), connect()
    other.mset({f"k{number}": number for number in range(50)})
    for number in range(50):
        same(r.get(f"k{number}"), b"%d" % number)
    assert r.get_cache().size <= 10
    other.flushall()


def is_lost_with_its_connection():
    """What was cached may have changed while the connection was down."""
    r, other = cached(), connect()
    other.set("k", "one")
    same(r.get("k"), b"one")
    mine = r.client_id()
    other.client_kill_filter(_id=mine)
    eventually("it to be gone", lambda: not other.client_list(client_id=[mine]))
    other.set("k", "two")
    eventually("the new value", lambda: r.get("k") == b"two")
    assert r.client_id() != mine
    same(r.client_trackinginfo()[b"flags"], [b"on"])
    other.flushall()


def many_clients():
    """None of them sees a counter go back, and all see its end."""
    other = connect()
    other.set("n", 0)
    failures = []

    def reads():
        r, last = cached(), 0
        while last < 300:
            value = int(r.get("n"))
            if value < last:
                failures.append((value, last))
                return
            last = value

    threads = [threading.Thread(target=reads, daemon=True) for _ in range(4)]
    for thread in threads:
        thread.start()
    for _ in range(300):
        other.incr("n")
    for thread in threads:
        thread.join(PATIENCE)
    same((failures, [thread.is_alive() for thread in threads]), ([], [False] * 4))


run(
    hits_and_invalidations,
    several_keys,
    flushes,
    is_full,
    is_lost_with_its_connection,
    many_clients,
)
