"""Django's own cache and sessions, and django-redis: all of their API that needs no script.

Always true: each cache has a database of its own, as settings would have it.
"""

import sys
import time
from pathlib import Path

import django
from django.conf import settings

sys.path.append(str(Path(__file__).parent.parent / "redis-py"))
from shared import PORT, SOCKET, connect, eventually, knows, refused, run, same  # noqa: E402

DJANGO = "django.core.cache.backends.redis.RedisCache"
DJANGO_REDIS = "django_redis.cache.RedisCache"
CLIENT = {"CLIENT_CLASS": "django_redis.client.DefaultClient"}
ADDRESS = f"redis://127.0.0.1:{PORT}"

settings.configure(
    CACHES={
        "default": {"BACKEND": DJANGO, "LOCATION": f"{ADDRESS}/1"},
        "prefixed": {
            "BACKEND": DJANGO,
            "LOCATION": [f"{ADDRESS}/2", f"{ADDRESS}/2"],
            "KEY_PREFIX": "app",
            "VERSION": 7,
            "TIMEOUT": None,
        },
        "unix": {"BACKEND": DJANGO, "LOCATION": f"unix://{SOCKET}?db=3", "TIMEOUT": 60},
        "django-redis": {"BACKEND": DJANGO_REDIS, "LOCATION": f"{ADDRESS}/4", "OPTIONS": CLIENT},
        "compressed": {
            "BACKEND": DJANGO_REDIS,
            "LOCATION": f"{ADDRESS}/5",
            "OPTIONS": {
                **CLIENT,
                "COMPRESSOR": "django_redis.compressors.zlib.ZlibCompressor",
                "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
            },
        },
    },
    SESSION_ENGINE="django.contrib.sessions.backends.cache",
    INSTALLED_APPS=["django.contrib.sessions"],
    DATABASES={},
    USE_TZ=True,
)
django.setup()

from django.contrib.sessions.backends.base import UpdateError  # noqa: E402
from django.contrib.sessions.backends.cache import SessionStore  # noqa: E402
from django.core.cache import caches  # noqa: E402

VALUES = {"text": "grün", "number": 42, "real": 1.5, "none": None, "list": [1, {"a": (2, 3)}], "bytes": b"\0\xff\r\n"}


def core():
    for name in ("default", "prefixed", "unix"):
        cache = caches[name]
        for key, value in VALUES.items():
            same(cache.set(key, value), None)
            same(cache.get(key, "missing"), value)
        same(cache.get_many([*VALUES, "nothing"]), VALUES)
        same((cache.get("nothing"), cache.get("nothing", 5)), (None, 5))
        same((cache.add("number", 1), cache.add("added", 1)), (False, True))
        same((cache.has_key("added"), "added" in cache, "nothing" in cache), (True, True, False))
        same((cache.incr("number"), cache.incr("number", 10), cache.decr("number", 3)), (43, 53, 50))
        refused(ValueError, lambda: cache.incr("nothing"))
        same((cache.get_or_set("computed", lambda: 7), cache.get_or_set("computed", 8)), (7, 7))
        same((cache.delete("added"), cache.delete("added")), (True, False))
        same(cache.set_many({"a": 1, "b": 2}, timeout=100), [])
        same(cache.get_many(["a", "b"]), {"a": 1, "b": 2})
        same(cache.delete_many(["a", "b", "nothing"]), None)
        same(cache.get_many(["a", "b"]), {})
        cache.clear()
        same(cache.get_many(list(VALUES)), {})


def core_timeouts():
    cache, r = caches["default"], connect(db=1)
    cache.set("k", "v")
    same(r.ttl(cache.make_key("k")), 300)
    cache.set("k", "v", timeout=None)
    same(r.ttl(cache.make_key("k")), -1)
    same((cache.touch("k", 50), cache.touch("nothing", 50)), (True, False))
    same(r.ttl(cache.make_key("k")), 50)
    same((cache.touch("k", None), r.ttl(cache.make_key("k"))), (True, -1))
    # No time at all is a deletion.
    cache.set("k", "v", timeout=0)
    same(cache.get("k"), None)
    cache.set("k", "v")
    same((cache.touch("k", 0), cache.get("k")), (True, None))
    same((cache.add("k", "v", timeout=1), cache.get("k")), (True, "v"))
    eventually("the key to expire", lambda: cache.get("k") is None)
    cache.set_many({"a": 1, "b": 2}, timeout=20)
    same({r.ttl(cache.make_key(key)) for key in "ab"}, {20})
    same(r.ttl(caches["prefixed"].make_key("k")), -2)
    caches["prefixed"].set("k", "v")
    same(connect(db=2).keys("*"), [b"app:7:k"])
    same(connect(db=2).ttl("app:7:k"), -1)
    cache.clear()
    same(caches["prefixed"].get("k"), "v")
    caches["prefixed"].clear()


def core_versions():
    cache = caches["default"]
    cache.set("k", "one")
    cache.set("k", "two", version=2)
    same((cache.get("k"), cache.get("k", version=2)), ("one", "two"))
    same(cache.incr_version("k", version=2), 3)
    same((cache.get("k", version=2), cache.get("k", version=3)), (None, "two"))
    same(cache.decr_version("k", version=3), 2)
    refused(ValueError, lambda: cache.incr_version("nothing"))
    same((cache.delete("k", version=2), cache.get("k")), (True, "one"))
    cache.clear()


def sessions():
    r = connect(db=1)
    session = SessionStore()
    session["user"], session["cart"] = 7, ["a", "b"]
    session.create()
    session.save()
    key = session.session_key
    assert session.exists(key) and not session.exists("nothing")
    same(r.ttl(caches["default"].make_key(session.cache_key)), session.get_expiry_age())

    again = SessionStore(session_key=key)
    same((again["user"], again.get("cart"), again.get("x")), (7, ["a", "b"], None))
    again["user"] = 8
    again.set_expiry(50)
    again.save()
    same(r.ttl(caches["default"].make_key(again.cache_key)), 50)
    same(SessionStore(session_key=key)["user"], 8)

    again.cycle_key()
    assert again.session_key != key
    same((SessionStore(key).load(), SessionStore(again.session_key)["user"]), ({}, 8))
    # A session that was deleted meanwhile is not brought back.
    other = SessionStore(again.session_key)
    same(other["user"], 8)
    again.delete()
    other["user"] = 9
    refused(UpdateError, other.save)

    brief = SessionStore()
    brief["k"] = "v"
    brief.set_expiry(1)
    brief.create()
    eventually("the session to expire", lambda: not SessionStore().exists(brief.session_key))
    same(SessionStore(brief.session_key).load(), {})

    session = SessionStore()
    session["k"] = "v"
    session.save()
    key = session.session_key
    session.flush()
    same((session.session_key, SessionStore().exists(key)), (None, False))
    caches["default"].clear()


def django_redis_values():
    for name in ("django-redis", "compressed"):
        cache = caches[name]
        values = {key: value for key, value in VALUES.items() if name != "compressed" or key not in ("bytes", "list")}
        values["long"] = "x" * 10_000
        for key, value in values.items():
            same(cache.set(key, value), True)
            same(cache.get(key, "missing"), value)
        same(dict(cache.get_many([*values, "nothing"])), values)
        same((cache.set("k", 1, nx=True), cache.set("k", 2, nx=True), cache.get("k")), (True, False, 1))
        same((cache.set("k", 3, xx=True), cache.set("nothing", 3, xx=True)), (True, False))
        same((cache.add("k", 4), cache.add("added", 4)), (False, True))
        same((cache.has_key("k"), "nothing" in cache), (True, False))
        same((cache.get_or_set("computed", lambda: 7), cache.get_or_set("computed", 8)), (7, 7))
        same((cache.delete("k"), cache.delete("k")), (1, 0))
        cache.set_many({"a": 1, "b": 2}, timeout=100)
        same(cache.delete_many(["a", "b", "nothing"]), 2)
        cache.clear()


def django_redis_times():
    cache = caches["django-redis"]
    cache.set("k", "v", timeout=100)
    same(cache.ttl("k"), 100)
    assert 99_000 < cache.pttl("k") <= 100_000
    same((cache.persist("k"), cache.ttl("k"), cache.ttl("nothing")), (True, None, 0))
    same((cache.expire("k", 50), cache.ttl("k"), cache.expire("nothing", 5)), (True, 50, False))
    same(cache.pexpire("k", 20_000), True)
    same(cache.ttl("k"), 20)
    moment = int(time.time()) + 70
    same(cache.expire_at("k", moment), True)
    assert 68 <= cache.ttl("k") <= 70
    same(cache.pexpire_at("k", moment * 1000), True)
    assert 68_000 <= cache.pttl("k") <= 70_000
    same((cache.touch("k", 30), cache.ttl("k")), (True, 30))
    same((cache.set("k", "v", timeout=None), cache.ttl("k")), (True, None))
    cache.set("k", "v", timeout=0)
    same(cache.get("k"), None)
    cache.set("brief", "v", timeout=0.05)
    eventually("the key to expire", lambda: cache.get("brief") is None)
    cache.clear()


def django_redis_patterns():
    cache = caches["django-redis"]
    cache.set_many({f"user:{number}": number for number in range(500)})
    cache.set_many({"other:1": 1, "a*b": 2})
    same(len(cache.keys("user:*")), 500)
    same(set(cache.iter_keys("user:4?", itersize=50)), {f"user:{number}" for number in range(40, 50)})
    same(cache.delete_pattern("user:1*", itersize=20), 111)
    same(cache.delete_pattern("nothing*"), 0)
    same(len(cache.keys("*")), 391)
    same(cache.get("other:1"), 1)
    cache.set("v", "one", version=1)
    same((cache.incr_version("v"), cache.get("v"), cache.get("v", version=2)), (2, None, "one"))
    cache.clear()
    same(cache.keys("*"), [])


def django_redis_collections():
    """Members and values as the library packs them: they come back as they were."""
    cache = caches["django-redis"]
    same((cache.sadd("s", "a", 2, ("t", 1)), cache.scard("s"), cache.smembers("s")), (3, 3, {"a", 2, ("t", 1)}))
    same((cache.sismember("s", 2), cache.smismember("s", "a", "x"), cache.srem("s", "a")), (True, [True, False], 1))
    cache.sadd("other", 2, "b")
    same((cache.sinter("s", "other"), cache.sdiff("other", "s")), ({2}, {"b"}))
    same((cache.sunionstore("all", "s", "other"), cache.smove("s", "all", 2)), (3, True))
    same((set(cache.sscan_iter("all")), cache.spop("s"), cache.srandmember("s")), ({2, "b", ("t", 1)}, ("t", 1), None))
    same((cache.hset("h", "a", [1]), cache.hset("h", "b", "x"), cache.hlen("h")), (1, 1, 2))
    same((sorted(cache.hkeys("h")), cache.hexists("h", "a"), cache.hdel("h", "a")), (["a", "b"], True, 1))
    same((cache.zadd("z", {"a": 1, ("t",): 2.5}), cache.zcard("z"), cache.zscore("z", ("t",))), (2, 2, 2.5))
    same((cache.zrange("z", 0, -1), cache.zincrby("z", 5, "a"), cache.zrank("z", "a")), (["a", ("t",)], 6.0, 1))
    same([tuple(pair) for pair in cache.zrevrange("z", 0, -1, withscores=True)], [("a", 6.0), (("t",), 2.5)])
    same((cache.zrangebyscore("z", 0, 3), cache.zcount("z", 0, 3), cache.zrem("z", "a")), ([("t",)], 1, 1))
    cache.clear()


def django_redis_scripts():
    """Giving a lock back needs one; for counting, the library knows how to do without."""
    cache = caches["django-redis"]
    lock = cache.lock("resource", timeout=30)
    same(lock.acquire(), True)
    same(cache.lock("resource").acquire(blocking=False), False)
    same((lock.locked(), lock.owned()), (True, True))
    if knows("evalsha"):
        lock.release()
    else:
        refused(Exception, lock.release, "unknown command")
    cache.set("n", 1)
    same((cache.incr("n"), cache.incr("n", 5), cache.decr("n", 2), cache.get("n")), (2, 7, 5, 5))
    cache.clear()


run(
    core,
    core_timeouts,
    core_versions,
    sessions,
    django_redis_values,
    django_redis_times,
    django_redis_patterns,
    django_redis_collections,
    django_redis_scripts,
)
