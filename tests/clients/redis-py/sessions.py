"""Sessions in hashes, tags in sets, and what ASP.NET's distributed cache sends, with exact replies."""

import os

import redis
from shared import Left, connect, eventually, refused, run, same

HOUR = 3_600


def each(check):
    """In both versions of the protocol."""

    def checked():
        for protocol in (2, 3):
            r = connect(protocol=protocol, decode_responses=True)
            check(r)
            r.flushall()

    checked.__name__ = check.__name__
    return checked


@each
def sessions(r):
    with r.pipeline() as p:
        p.hset("session:1", mapping={"user": "anna", "visits": 1}).expire("session:1", HOUR)
        same(p.execute(), [2, True])
    same(r.hgetall("session:1"), {"user": "anna", "visits": "1"})
    same([r.hincrby("session:1", "visits"), r.ttl("session:1"), r.hgetall("session:2")], [2, Left(HOUR), {}])
    same([r.hset("session:1", "theme", "dark"), r.hdel("session:1", "theme"), r.ttl("session:1")], [1, 1, Left(HOUR)])
    # Read and kept alive at once.
    with r.pipeline() as p:
        p.hmget("session:1", "user", "nothing").expire("session:1", 2 * HOUR)
        same(p.execute(), [["anna", None], True])
    same([r.delete("session:1"), r.expire("session:1", HOUR)], [1, False])


@each
def fields_that_go_by_themselves(r):
    """A code that is good for a moment, within a session that stays."""
    r.hset("session:1", mapping={"user": "anna", "code": "1234", "csrf": "abc"})
    same([r.hpexpire("session:1", 30, "code"), r.hexpire("session:1", HOUR, "csrf")], [[1], [1]])
    eventually("the code to go", lambda: r.hget("session:1", "code") is None)
    same(
        [r.hgetall("session:1"), r.httl("session:1", "csrf", "user", "code")],
        [{"user": "anna", "csrf": "abc"}, [Left(HOUR), -1, -2]],
    )
    same(r.hgetex("session:1", "csrf", "user", ex=2 * HOUR), ["abc", "anna"])
    same([r.httl("session:1", "csrf", "user"), r.ttl("session:1")], [[Left(2 * HOUR)] * 2, -1])
    same([r.hsetex("session:1", "code", "5678", ex=60), r.httl("session:1", "code")], [1, [Left(60)]])
    same([r.hgetdel("session:1", "code"), r.hgetdel("session:1", "code")], [["5678"], [None]])
    # The whole session goes when its last field does.
    r.hpexpire("session:1", 20, "user", "csrf")
    eventually("the session to go", lambda: not r.exists("session:1"))


@each
def tags(r):
    articles = {f"article:{number}": {f"by:{number % 7}", f"year:{2_000 + number % 3}", "all"} for number in range(210)}
    with r.pipeline() as p:
        for article, its in articles.items():
            for tag in its:
                p.sadd(f"tag:{tag}", article)
            p.sadd(f"tags:{article}", *its)
        p.execute()
    having = lambda *wanted: {article for article, its in articles.items() if its.issuperset(wanted)}  # noqa: E731
    same(r.sinter("tag:by:1", "tag:year:2001"), having("by:1", "year:2001"))
    same(r.sunion("tag:by:1", "tag:by:2"), having("by:1") | having("by:2"))
    same(r.sdiff("tag:year:2001", "tag:by:1"), having("year:2001") - having("by:1"))
    same([r.sintercard(2, ["tag:by:1", "tag:year:2001"]), r.sintercard(2, ["tag:by:1", "tag:all"], limit=7)], [10, 7])
    same([r.sinterstore("found", "tag:by:1", "tag:year:2001"), r.expire("found", 60), r.scard("found")], [10, True, 10])
    same(r.smismember("tags:article:8", ["by:1", "by:2", "all"]), [1, 0, 1])
    # An article goes, with its place in each tag.
    with r.pipeline() as p:
        for tag in r.smembers("tags:article:8"):
            p.srem(f"tag:{tag}", "article:8")
        p.delete("tags:article:8")
        same(p.execute(), [1] * 4)
    same([r.scard("tag:all"), r.sismember("tag:by:1", "article:8")], [209, 0])
    same(len([*r.scan_iter("tags:*", _type="set")]), 209)
    # What is cached under a tag is thrown away together.
    r.mset({"page:1": "x", "page:2": "y"})
    r.sadd("tag:home", "page:1", "page:2")
    same([r.unlink(*r.smembers("tag:home"), "tag:home"), r.exists("page:1")], [3, 0])


def raw(r, *words):
    """What the server answers, with nothing made of it by the library."""
    r.connection.send_command(*words)
    return r.connection.read_response()


def packet(r, *commands):
    r.connection.send_packed_command(r.connection.pack_commands(commands))
    return [r.connection.read_response() for _ in commands]


def asp_net_cache():
    """Microsoft.Extensions.Caching.StackExchangeRedis: deadlines in ticks of .NET, values as they are."""
    value, ticks = os.urandom(600) + b"\r\n\0", 638_000_000_000_000_000
    for protocol in (2, 3):
        r = connect(protocol=protocol, single_connection_client=True)
        r.ping()
        fields = ("absexp", str(ticks), "sldexp", "12000000000", "data", value)
        # Both in one packet, since version 8; some versions before it in a transaction. One pair alone is an HSET.
        for name, reply in (("HMSET", b"OK"), ("HSET", 3)):
            entry, deadline = (name, "app:k", *fields), ("EXPIRE", "app:k", "1200")
            same(packet(r, entry, deadline), [reply, 1])
            same([raw(r, "TTL", "app:k"), raw(r, "DEL", "app:k")], [Left(1_200), 1])
            same(packet(r, ("MULTI",), entry, deadline, ("EXEC",)), [b"OK", b"QUEUED", b"QUEUED", [reply, 1]])
            # Get reads all three, Refresh only the deadlines; then it slides.
            same(raw(r, "HMGET", "app:k", "absexp", "sldexp", "data"), [b"%d" % ticks, b"12000000000", value])
            same(raw(r, "HMGET", "app:k", "absexp", "sldexp"), [b"%d" % ticks, b"12000000000"])
            same(
                [raw(r, "EXPIRE", "app:k", "1800"), raw(r, "PEXPIRE", "app:k", "1500000"), raw(r, "TTL", "app:k")],
                [1, 1, Left(1_500)],
            )
            same([raw(r, "DEL", "app:k"), raw(r, "EXPIRE", "app:k", "1200")], [1, 0])
            same(raw(r, "HMGET", "app:k", "absexp", "sldexp", "data"), [None] * 3)
        # What has no deadline says so in its fields.
        same(raw(r, "HMSET", "app:k", "absexp", "-1", "sldexp", "-1", "data", b""), b"OK")
        same([raw(r, "HMGET", "app:k", "absexp", "sldexp", "data"), raw(r, "TTL", "app:k")], [[b"-1", b"-1", b""], -1])
        # A key that is something else is refused in its place.
        same(raw(r, "SET", "text", "v"), b"OK")
        same(
            [raw(r, "MULTI"), raw(r, "HMSET", "text", *fields), raw(r, "EXPIRE", "text", "1200")],
            [b"OK", b"QUEUED", b"QUEUED"],
        )
        (refusal, expired) = raw(r, "EXEC")
        same(
            [type(refusal), str(refusal), expired],
            [redis.ResponseError, "WRONGTYPE Operation against a key holding the wrong kind of value", 1],
        )
        refused(
            redis.ResponseError,
            lambda: raw(r, "HMSET", "app:k", "absexp"),
            "wrong number of arguments for 'hmset' command",
        )
        r.flushall()


def asp_net_expiry():
    r = connect()
    with r.pipeline() as p:
        p.execute_command("HMSET", "app:k", "absexp", "-1", "sldexp", "500000", "data", "v").pexpire("app:k", 50)
        same(p.execute(), [True, True])
    eventually("the entry to go", lambda: r.hmget("app:k", "absexp", "sldexp", "data") == [None] * 3)
    same([r.exists("app:k"), r.pttl("app:k")], [0, -2])


run(sessions, fields_that_go_by_themselves, tags, asp_net_cache, asp_net_expiry)
