"""redis-py's methods for lists, hashes, sets and sorted sets, and what each makes of the reply.

Each is called in both versions of the protocol, with bytes and with texts. What the library answers differently in the
two is what it says of redis-server, too.
"""

import asyncio
import time

import redis
import redis.asyncio
from shared import PORT, Left, connect, eventually, refused, same

WRONG_TYPE = "WRONGTYPE Operation against a key holding the wrong kind of value"


class Text:
    """What the client makes of what it reads."""

    def __init__(self, protocol, decode):
        self.protocol, self.decode = protocol, decode

    def __call__(self, *words):
        found = [word if self.decode else word.encode() for word in words]
        return found[0] if len(found) == 1 else found

    def list(self, words):
        return [self(word) for word in words.split()]

    def set(self, words):
        return set(self.list(words))

    def dict(self, **pairs):
        return {self(name): self(str(value)) for name, value in pairs.items()}

    def scored(self, **pairs):
        """Members with their scores: the library's tuples in RESP2, the server's pairs in RESP3."""
        pair = list if self.protocol == 3 else tuple
        return [pair((self(name), float(score))) for name, score in pairs.items()]


def lists(r, t):
    same([r.rpush("l", "a", "b", "c"), r.lpush("l", "z"), r.rpushx("no", "x"), r.lpushx("no", "x")], [3, 4, 0, 0])
    same([r.lrange("l", 0, -1), r.lrange("l", -2, -1), r.lrange("no", 0, -1)], [t.list("z a b c"), t.list("b c"), []])
    same([r.llen("l"), r.llen("no"), r.lindex("l", -1), r.lindex("l", 9)], [4, 0, t("c"), None])
    same(
        [r.linsert("l", "BEFORE", "b", "x"), r.linsert("l", "AFTER", "none", "x"), r.linsert("no", "AFTER", "a", "x")],
        [5, -1, 0],
    )
    same(r.lset("l", 0, "y"), True)
    refused(redis.ResponseError, lambda: r.lset("l", 9, "y"), "index out of range")
    refused(redis.ResponseError, lambda: r.lset("no", 0, "y"), "no such key")
    same([r.lpop("l"), r.rpop("l"), r.lpop("l", 2), r.rpop("l", 9)], [t("y"), t("c"), t.list("a x"), t.list("b")])
    same([r.lpop("l"), r.lpop("l", 2), r.exists("l")], [None, None, 0])
    r.rpush("l", *"abcabcabc")
    same([r.lpos("l", "b"), r.lpos("l", "b", rank=-1), r.lpos("l", "b", rank=2, count=0)], [1, 7, [4, 7]])
    same([r.lpos("l", "b", maxlen=1), r.lpos("l", "x"), r.lpos("l", "x", count=2)], [None, None, []])
    same(
        [r.lrem("l", 1, "a"), r.lrem("l", -1, "c"), r.lrem("l", 0, "b"), r.lrange("l", 0, -1)],
        [1, 1, 3, t.list("c a c a")],
    )
    same([r.ltrim("l", 1, 2), r.lrange("l", 0, -1), r.ltrim("l", 5, 9), r.exists("l")], [True, t.list("a c"), True, 0])
    r.rpush("l", *"abcd")
    same([r.lmove("l", "m"), r.lmove("l", "m", "RIGHT", "LEFT"), r.rpoplpush("l", "m")], [t("a"), t("d"), t("c")])
    same([r.lrange("m", 0, -1), r.lmove("no", "m"), r.rpoplpush("no", "m")], [t.list("c d a"), None, None])
    same(r.lmpop(2, "no", "m", direction="LEFT", count=2), [t("m"), t.list("c d")])
    same([r.lmpop(1, "no", direction="RIGHT"), r.type("m")], [None, t("list")])
    r.set("s", "v")
    for call in (
        lambda: r.lpush("s", "x"),
        lambda: r.lrange("s", 0, 1),
        lambda: r.blpop("s", 1),
        lambda: r.lmove("m", "s"),
    ):
        refused(redis.ResponseError, call, WRONG_TYPE)


def blocking(r, t):
    """A pair is a tuple of the library's own in RESP2."""
    pair = list if t.protocol == 3 else tuple
    r.rpush("l", *"abcdef")
    same([r.blpop("l", 1), r.brpop(["no", "l"], 1)], [pair(t.list("l a")), pair(t.list("l f"))])
    same([r.brpoplpush("l", "m", 1), r.blmove("l", "m", 1, "LEFT", "RIGHT")], [t("e"), t("b")])
    same(r.blmpop(1, 2, "no", "m", direction="RIGHT", count=5), [t("m"), t.list("b e")])
    began = time.monotonic()
    same(
        [r.blpop("no", 0.05), r.brpop(["no"], 0.05), r.brpoplpush("no", "m", 0.05), r.blmove("no", "m", 0.05)],
        [None] * 4,
    )
    same([r.blmpop(0.05, 1, "no", direction="LEFT"), r.bzpopmin("no", 0.05), r.bzpopmax("no", 0.05)], [None] * 3)
    same(r.bzmpop(0.05, 1, ["no"], min=True), None)
    assert time.monotonic() - began >= 0.3
    refused(redis.ResponseError, lambda: r.blpop("l", -1), "timeout is negative")
    r.zadd("z", {"a": 1, "b": 2, "c": 3})
    three = (lambda *reply: list(reply)) if t.protocol == 3 else (lambda *reply: reply)
    same([r.bzpopmin("z", 1), r.bzpopmax(["no", "z"], 1)], [three(t("z"), t("a"), 1.0), three(t("z"), t("c"), 3.0)])
    # In a transaction nothing waits.
    with r.pipeline() as p:
        p.blpop("no", 0).blmove("no", "m", 0).bzpopmin("no", 0).blmpop(0, 1, "no", direction="LEFT")
        same(p.execute(), [None] * 4)


def hashes(r, t):
    same(
        [r.hset("h", "a", 1), r.hset("h", mapping={"a": 2, "b": "x"}), r.hset("h", items=["c", "3", "d", "4"])],
        [1, 1, 2],
    )
    same([r.hget("h", "a"), r.hget("h", "no"), r.hget("no", "a")], [t("2"), None, None])
    same([r.hgetall("h"), r.hgetall("no")], [t.dict(a=2, b="x", c=3, d=4), {}])
    same([r.hmget("h", "a", "no", "b"), r.hmget("no", ["a"])], [[t("2"), None, t("x")], [None]])
    same([set(r.hkeys("h")), set(r.hvals("h")), r.hlen("h"), r.hlen("no")], [t.set("a b c d"), t.set("2 x 3 4"), 4, 0])
    same([r.hexists("h", "a"), r.hexists("h", "no"), r.hstrlen("h", "b"), r.hstrlen("no", "b")], [True, False, 1, 0])
    same([r.hsetnx("h", "a", 9), r.hsetnx("h", "e", 9), r.hdel("h", "c", "d", "no")], [0, 1, 2])
    same(
        [r.hincrby("h", "a"), r.hincrby("h", "n", -5), r.hincrbyfloat("h", "a", 0.5), r.hget("h", "a")],
        [3, -5, 3.5, t("3.5")],
    )
    refused(redis.ResponseError, lambda: r.hincrby("h", "b"), "hash value is not an integer")
    refused(redis.ResponseError, lambda: r.hincrbyfloat("h", "b"), "hash value is not a float")
    same(
        [set(r.hrandfield("h", 9)), len(r.hrandfield("h", -9)), r.hrandfield("no"), r.hrandfield("no", 2)],
        [t.set("a b e n"), 9, None, []],
    )
    assert r.hrandfield("h") in t.list("a b e n")
    found = r.hrandfield("h", 9, withvalues=True)
    flat = sum(found, []) if t.protocol == 3 else found
    same(dict(zip(flat[::2], flat[1::2])), r.hgetall("h"))
    same(
        [r.type("h"), r.object("encoding", "h"), r.hdel("h", *"aben"), r.exists("h")], [t("hash"), t("listpack"), 4, 0]
    )
    r.set("s", "v")
    for call in (lambda: r.hset("s", "a", 1), lambda: r.hgetall("s"), lambda: r.hexpire("s", 1, "a")):
        refused(redis.ResponseError, call, WRONG_TYPE)


def expiring_fields(r, t):
    r.hset("h", mapping={"a": 1, "b": 2, "c": 3})
    same([r.hexpire("h", 100, "a", "no"), r.hpexpire("h", 50_000, "b"), r.hexpire("no", 1, "a")], [[1, -2], [1], [-2]])
    same([r.httl("h", "a", "b", "c", "no"), r.httl("no", "a")], [[Left(100), Left(50), -1, -2], [-2]])
    assert 80_000 < r.hpttl("h", "a")[0] <= 100_000
    same(
        [r.hexpire("h", 10, "a", gt=True), r.hexpire("h", 10, "a", lt=True), r.hexpire("h", 10, "a", nx=True)],
        [[0], [1], [0]],
    )
    same([r.hexpire("h", 9, "c", xx=True), r.hpersist("h", "a", "c", "no"), r.httl("h", "a")], [[0], [1, -1, -2], [-1]])
    at = int(time.time()) + 1_000
    same(
        [r.hexpireat("h", at, "a"), r.hexpiretime("h", "a", "c"), r.hpexpireat("h", at * 1_000 + 5, "a")],
        [[1], [at, -1], [1]],
    )
    same([r.hpexpiretime("h", "a"), r.hexpireat("h", 1, "a"), r.hexists("h", "a")], [[at * 1_000 + 5], [2], False])
    same([r.hset("h", "b", "new"), r.httl("h", "b"), r.hincrby("h", "c"), r.hget("h", "b")], [0, [-1], 4, t("new")])
    # What goes with its last field is the key.
    same(r.hpexpire("h", 20, "b", "c"), [1, 1])
    eventually("both fields to go", lambda: not r.exists("h"))
    same([r.hgetall("h"), r.hlen("h"), r.hget("h", "b")], [{}, 0, None])
    # Commands of Redis 8.
    same([r.hsetex("h", mapping={"a": 1, "b": 2}, ex=100), r.httl("h", "a", "b")], [1, [Left(100), Left(100)]])
    same(
        [r.hsetex("h", "a", 3, data_persist_option=redis.commands.core.HashDataPersistOptions.FNX), r.hget("h", "a")],
        [0, t("1")],
    )
    same([r.hsetex("h", "a", 3, keepttl=True), r.httl("h", "a")], [1, [Left(100)]])
    same(
        [r.hgetex("h", "a", "no", ex=500), r.httl("h", "a"), r.hgetex("h", "a", persist=True)],
        [[t("3"), None], [Left(500)], [t("3")]],
    )
    same([r.httl("h", "a"), r.hgetdel("h", "a", "b", "no"), r.exists("h")], [[-1], [t("3"), t("2"), None], 0])


def sets(r, t):
    same([r.sadd("s", "a", "b", "c"), r.sadd("s", "a", "d"), r.scard("s"), r.scard("no")], [3, 1, 4, 0])
    same(
        [r.smembers("s"), r.smembers("no"), r.sismember("s", "a"), r.sismember("s", "x")],
        [t.set("a b c d"), set(), 1, 0],
    )
    same(
        [r.smismember("s", "a", "x"), r.srem("s", "d", "x"), r.smove("s", "m", "c"), r.smove("s", "m", "x")],
        [[1, 0], 1, True, False],
    )
    r.sadd("p", "a", "m", "n"), r.sadd("q", "a", "b", "n")
    same([r.sinter("p", "q"), r.sunion("s", "m"), r.sdiff("q", "p")], [t.set("a n"), t.set("a b c"), t.set("b")])
    same([r.sinter("p", "no"), r.sunion("no"), r.sdiff("no", "p")], [set(), set(), set()])
    same([r.sintercard(2, ["p", "q"]), r.sintercard(2, ["p", "q"], limit=1), r.sintercard(2, ["p", "no"])], [2, 1, 0])
    same(
        [r.sinterstore("to", "p", "q"), r.sunionstore("to", "p", "q"), r.sdiffstore("to", "p", "q"), r.smembers("to")],
        [2, 4, 1, t.set("m")],
    )
    same([r.sinterstore("to", "p", "no"), r.exists("to")], [0, 0])
    assert r.srandmember("p") in r.smembers("p") and len(r.srandmember("p", -7)) == 7
    same([set(r.srandmember("p", 9)), r.srandmember("no"), r.srandmember("no", 2)], [r.smembers("p"), None, []])
    assert r.spop("p") in t.list("a m n")
    same([len(r.spop("p", 1)), r.scard("p"), len(r.spop("p", 9)), r.exists("p"), r.spop("p")], [1, 1, 1, 0, None])
    r.sadd("n", 3, 1, 2)
    same([r.type("n"), r.object("encoding", "n"), r.object("encoding", "q")], [t("set"), t("intset"), t("listpack")])


def sorted_sets(r, t):
    same(
        [r.zadd("z", {"a": 1, "b": 2.5}), r.zadd("z", {"a": 2, "c": 3}), r.zadd("z", {"a": 3, "d": 4}, ch=True)],
        [2, 1, 2],
    )
    same(
        [r.zadd("z", {"a": 9}, nx=True), r.zadd("z", {"x": 9}, xx=True), r.zadd("z", {"a": 5}, incr=True)], [0, 0, 8.0]
    )
    same(
        [
            r.zadd("z", {"a": 1}, gt=True, ch=True),
            r.zadd("z", {"a": 1}, lt=True, ch=True),
            r.zadd("z", {"a": 1}, nx=True, incr=True),
        ],
        [0, 1, None],
    )
    same(
        [r.zcard("z"), r.zcard("no"), r.zscore("z", "b"), r.zscore("z", "no"), r.zmscore("z", ["a", "no"])],
        [4, 0, 2.5, None, [1.0, None]],
    )
    same([r.zincrby("z", 0.5, "b"), r.zincrby("z", 7, "new"), r.zrem("z", "new", "no")], [3.0, 7.0, 1])
    same(
        [r.zrange("z", 0, -1), r.zrevrange("z", 0, 1), r.zrange("z", 0, 0, desc=True)],
        [t.list("a b c d"), t.list("d c"), t.list("d")],
    )
    same(
        [r.zrange("z", 0, -1, withscores=True), r.zrevrange("z", 0, 0, withscores=True)],
        [t.scored(a=1, b=3, c=3, d=4), t.scored(d=4)],
    )
    same([r.zrank("z", "a"), r.zrevrank("z", "a"), r.zrank("z", "no"), r.zrevrank("no", "a")], [0, 3, None, None])
    same([r.zrank("z", "b", withscore=True), r.zrevrank("z", "b", withscore=True)], [[1, 3.0], [2, 3.0]])
    same([r.zcount("z", 3, "+inf"), r.zcount("z", "(3", 4), r.zlexcount("z", "-", "+")], [3, 1, 4])
    same(r.zadd("z", {"far": "inf", "near": "-inf"}), 2)
    same([r.zscore("z", "far"), r.zscore("z", "near"), r.zrem("z", "far", "near")], [float("inf"), float("-inf"), 2])
    refused(redis.ResponseError, lambda: r.zadd("z", {"a": "word"}), "value is not a valid float")
    one = (lambda pairs: pairs[0]) if t.protocol == 3 else (lambda pairs: pairs)
    same([r.zpopmin("z"), r.zpopmax("z"), r.zpopmin("no")], [one(t.scored(a=1)), one(t.scored(d=4)), []])
    same([r.zpopmax("z", 9), r.zpopmin("z", 1)], [t.scored(c=3, b=3), []])
    r.zadd("z", {"a": 1, "b": 2, "c": 3})
    pairs = [[t("a"), 1.0 if t.protocol == 3 else t("1")], [t("b"), 2.0 if t.protocol == 3 else t("2")]]
    same([r.zmpop(2, ["no", "z"], min=True, count=2), r.zmpop(1, ["no"], max=True)], [[t("z"), pairs], None])
    r.zadd("z", {"a": 1})
    assert r.zrandmember("z") in t.list("a c") and len(r.zrandmember("z", -5)) == 5
    same([set(r.zrandmember("z", 9)), r.zrandmember("no"), r.zrandmember("no", 2)], [t.set("a c"), None, []])
    same(
        [r.type("z"), r.object("encoding", "z"), r.zrem("z", "a", "c"), r.exists("z")], [t("zset"), t("listpack"), 2, 0]
    )


def ranges(r, t):
    r.zadd("z", {word: score for score, word in enumerate("abcdefghij")})
    same(
        [r.zrangebyscore("z", 2, 4), r.zrangebyscore("z", "(2", "(4"), r.zrevrangebyscore("z", "+inf", 8)],
        [t.list("c d e"), t.list("d"), t.list("j i")],
    )
    same(
        [r.zrangebyscore("z", "-inf", "+inf", start=1, num=2), r.zrangebyscore("z", 8, 9, withscores=True)],
        [t.list("b c"), t.scored(i=8, j=9)],
    )
    same(r.zrange("z", "(1", 9, byscore=True, offset=0, num=2, withscores=True), t.scored(c=2, d=3))
    same(r.zrange("z", 9, 7, byscore=True, desc=True), t.list("j i h"))
    same(
        [
            r.zrangestore("to", "z", 0, 2),
            r.zrangestore("to", "z", 1, 3, byscore=True, desc=False),
            r.zrange("to", 0, -1),
        ],
        [3, 3, t.list("b c d")],
    )
    same(
        [
            r.zremrangebyrank("z", 0, 1),
            r.zremrangebyscore("z", "(8", "+inf"),
            r.zremrangebyscore("z", 100, 200),
            r.zcard("z"),
        ],
        [2, 1, 0, 7],
    )
    r.zadd("w", dict.fromkeys("abcdefg", 0))
    same(
        [r.zrangebylex("w", "[b", "(d"), r.zrevrangebylex("w", "+", "(e"), r.zrangebylex("w", "-", "+", 1, 2)],
        [t.list("b c"), t.list("g f"), t.list("b c")],
    )
    same(
        [
            r.zrange("w", "[f", "+", bylex=True),
            r.zlexcount("w", "(a", "[c"),
            r.zremrangebylex("w", "-", "(c"),
            r.zcard("w"),
        ],
        [t.list("f g"), 2, 2, 5],
    )


def together(r, t):
    r.zadd("a", {"x": 1, "y": 2}), r.zadd("b", {"y": 10, "z": 20}), r.sadd("s", "y")
    same([r.zinter(["a", "b"]), r.zunion(["a", "b"]), r.zdiff(["a", "b"])], [t.list("y"), t.list("x y z"), t.list("x")])
    same(
        [r.zinter(["a", "b"], withscores=True), r.zdiff(["a", "b"], withscores=True)],
        [t.scored(y=12), [[t("x"), 1.0]] if t.protocol == 3 else t.list("x 1")],
    )
    same(r.zunion({"a": 2, "b": 1}, aggregate="MAX", withscores=True), t.scored(x=2, y=10, z=20))
    same(
        [
            r.zinterstore("to", {"a": 3, "s": 0.5}),
            r.zscore("to", "y"),
            r.zunionstore("to", ["a", "b"], aggregate="MIN"),
        ],
        [1, 6.5, 3],
    )
    same(
        [r.zrange("to", 0, -1, withscores=True), r.zdiffstore("to", ["a", "b"]), r.zinterstore("to", ["a", "no"])],
        [t.scored(x=1, y=2, z=20), 1, 0],
    )
    same([r.zintercard(2, ["a", "b"]), r.zintercard(2, ["a", "b"], limit=5), r.exists("to")], [1, 1, 0])


def walks(r, t):
    size = 3_000
    r.rpush("many:list", *range(size))
    r.hset("many:hash", mapping={f"f{number}": number for number in range(size)})
    r.sadd("many:set", *range(size))
    r.zadd("many:zset", {f"m{number}": number for number in range(size)})
    same(dict(r.hscan_iter("many:hash", count=100)), r.hgetall("many:hash"))
    same({*r.hscan_iter("many:hash", no_values=True)}, {*r.hkeys("many:hash")})
    same(dict(r.hscan_iter("many:hash", match="f1?")), {t(f"f{number}"): t(str(number)) for number in range(10, 20)})
    same({*r.sscan_iter("many:set", count=100)}, r.smembers("many:set"))
    same({*r.sscan_iter("many:set", match="29??")}, {t(str(number)) for number in range(2_900, 3_000)})
    same(dict(r.zscan_iter("many:zset", count=100)), {t(f"m{number}"): float(number) for number in range(size)})
    same(dict(r.zscan_iter("many:zset", match="m7")), {t("m7"): 7.0})
    cursor, found = r.hscan("many:hash", count=10)
    assert cursor > 0 and found.items() <= r.hgetall("many:hash").items()
    same([r.sscan("no"), r.hscan("no"), r.zscan("no")], [(0, []), (0, {}), (0, [])])
    for kind in ("list", "hash", "set", "zset"):
        same([*r.scan_iter("many:*", _type=kind)], [t(f"many:{kind}")])
        assert r.memory_usage(f"many:{kind}") > size
    same([r.unlink("many:hash"), r.delete("many:list", "many:set", "many:zset")], [1, 3])


def sorting(r, t):
    r.rpush("ids", 3, 1, 2)
    r.mset({"weight:1": 30, "weight:2": 10, "weight:3": 20})
    for number in (1, 2, 3):
        r.hset(f"user:{number}", mapping={"name": f"n{number}", "age": number * 7})
    same(
        [r.sort("ids"), r.sort("ids", desc=True, start=0, num=2), r.sort("ids", by="weight:*")],
        [t.list("1 2 3"), t.list("3 2"), t.list("2 3 1")],
    )
    same(
        r.sort("ids", by="weight:*", get=["#", "user:*->name"], groups=True),
        [tuple(t.list(pair)) for pair in ("2 n2", "3 n3", "1 n1")],
    )
    same([r.sort("ids", get="user:*->age", desc=True), r.sort("ids", get="no:*")], [t.list("21 14 7"), [None] * 3])
    same(
        [r.sort("ids", store="to"), r.lrange("to", 0, -1), r.sort_ro("ids", by="nosort")],
        [3, t.list("1 2 3"), t.list("3 1 2")],
    )
    r.sadd("words", "b", "a", "C")
    same(r.sort("words", alpha=True), t.list("C a b"))
    refused(redis.ResponseError, lambda: r.sort("words"), "One or more scores can't be converted into double")


def pipelines(r, t):
    with r.pipeline() as p:
        p.rpush("l", "a", "b").lrange("l", 0, -1).hset("h", mapping={"a": 1}).hgetall("h").sadd("s", 1).smembers("s")
        p.zadd("z", {"a": 1}).zrange("z", 0, -1, withscores=True).zscore("z", "a").lpop("s").hexpire("h", 100, "a")
        found = p.execute(raise_on_error=False)
    assert WRONG_TYPE in str(found.pop(9))
    same(found, [2, t.list("a b"), 1, t.dict(a=1), 1, t.set("1"), 1, t.scored(a=1), 1.0, [1]])
    with r.pipeline(transaction=False) as p:
        for number in range(2_000):
            p.rpush("many", number).hincrby("counts", number % 7).sadd("set", number % 11).zincrby(
                "ranks", 1, number % 13
            )
        same(len(p.execute()), 8_000)
    same([r.llen("many"), r.hlen("counts"), r.scard("set"), r.zscore("ranks", 0)], [2_000, 7, 11, 154.0])
    same(sum(map(int, r.hvals("counts"))), 2_000)
    with r.pipeline() as p:
        for key, change in (("l", r.lpop), ("h", r.hgetall), ("z", r.zpopmin)):
            p.watch(key)
            change(key)
            p.multi()
            p.set("mine", 1)
            # Who only reads changes nothing.
            if key == "h":
                same(p.execute(), [True])
            else:
                refused(redis.WatchError, p.execute)


def main():
    checks = (lists, blocking, hashes, expiring_fields, sets, sorted_sets, ranges, together, walks, sorting, pipelines)
    for protocol in (2, 3):
        for decode in (False, True):
            r = connect(protocol=protocol, decode_responses=decode)
            for check in checks:
                check(r, Text(protocol, decode))
                r.flushall()
                print(f"{check.__name__}, RESP{protocol}, {'texts' if decode else 'bytes'}", flush=True)
            r.close()
    for protocol in (2, 3):
        asyncio.run(asynchronous(protocol))
        print(f"asyncio, RESP{protocol}", flush=True)
    print("DONE", flush=True)


async def asynchronous(protocol):
    r = redis.asyncio.Redis(port=PORT, protocol=protocol, decode_responses=True, socket_timeout=20)
    waiting = asyncio.gather(*(r.blpop("jobs", 10) for _ in range(20)))
    others = redis.asyncio.Redis(port=PORT, protocol=protocol)
    while (await others.info("clients"))["blocked_clients"] < 20:
        pass
    await others.rpush("jobs", *range(20))
    same(sorted(int(value) for _, value in await waiting), list(range(20)))
    await r.hset("h", mapping={"a": 1, "b": 2})
    same({field: value async for field, value in r.hscan_iter("h")}, {"a": "1", "b": "2"})
    await r.zadd("z", {"a": 1, "b": 2})
    same([member async for member, _ in r.zscan_iter("z")], ["a", "b"])
    await r.sadd("s", 1, 2)
    same({member async for member in r.sscan_iter("s")}, {"1", "2"})
    async with r.pipeline() as p:
        p.lpush("l", 1).hget("h", "a").sismember("s", 1).zrank("z", "b").bzpopmin("no", 1)
        same(await p.execute(), [1, "1", 1, 1, None])
    await r.flushall()
    await r.aclose()
    await others.aclose()


main()
