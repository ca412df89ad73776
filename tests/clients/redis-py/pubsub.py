"""redis-py's publish and subscribe: handlers and threads, patterns, shards, timeouts, and subscribing anew."""

import threading

import redis
from shared import PATIENCE, connect, eventually, refused, run, same


def message(p, **options):
    return p.get_message(timeout=PATIENCE, **options)


def kinds(p, count):
    return [(m["type"], m["channel"], m["data"]) for m in (message(p) for _ in range(count))]


def channels(protocol):
    r = connect(protocol=protocol)
    p = r.pubsub()
    p.subscribe("news", "weather")
    p.psubscribe("n*")
    same(kinds(p, 3), [("subscribe", b"news", 1), ("subscribe", b"weather", 2), ("psubscribe", b"n*", 3)])
    same(r.publish("news", "first"), 2)
    same(
        [message(p), message(p)],
        [
            {"type": "message", "pattern": None, "channel": b"news", "data": b"first"},
            {"type": "pmessage", "pattern": b"n*", "channel": b"news", "data": b"first"},
        ],
    )
    same(sorted(r.pubsub_channels()), [b"news", b"weather"])
    same(r.pubsub_channels("w*"), [b"weather"])
    same(dict(r.pubsub_numsub("news", "nobody")), {b"news": 1, b"nobody": 0})
    same(r.pubsub_numpat(), 1)
    # Silence is no message, and does not last longer than it was asked for.
    same(p.get_message(timeout=0.01), None)
    same(p.get_message(), None)
    p.ping("are you there")
    same(message(p)["type"], "pong")
    same(r.publish("silence", "x"), 0)
    binary = bytes(range(256))
    same(r.publish("weather", binary), 1)
    same(message(p)["data"], binary)
    p.unsubscribe()
    same({message(p)["channel"] for _ in range(2)}, {b"news", b"weather"})
    p.punsubscribe("n*")
    same(kinds(p, 1), [("punsubscribe", b"n*", 0)])
    same(p.subscribed, False)
    p.close()
    r.close()


def handlers_and_threads(protocol):
    r = connect(protocol=protocol, decode_responses=True)
    p = r.pubsub(ignore_subscribe_messages=True)
    found, matched, done = [], [], threading.Event()

    def by_name(m):
        found.append(m["data"])
        if m["data"] == "last":
            done.set()

    p.subscribe(**{"chan": by_name})
    p.psubscribe(**{"ch?n": lambda m: matched.append((m["pattern"], m["data"]))})
    eventually("the subscription", lambda: r.pubsub_numpat() == 1)
    thread = p.run_in_thread(sleep_time=0.01, daemon=True)
    publishers = [
        threading.Thread(target=lambda: [connect().publish("chan", n) for n in range(50)]) for _ in range(4)
    ]
    for publisher in publishers:
        publisher.start()
    for publisher in publishers:
        publisher.join()
    r.publish("chan", "last")
    assert done.wait(PATIENCE), found
    eventually("the pattern's messages", lambda: len(matched) == 201)
    thread.stop()
    thread.join(PATIENCE)
    assert not thread.is_alive()
    same(sorted(found[:-1], key=int), sorted((str(n % 50) for n in range(200)), key=int))
    same(matched[-1], ("ch?n", "last"))
    r.close()


def listening(protocol):
    r = connect(protocol=protocol)
    p = r.pubsub()
    p.subscribe("queue")
    same(message(p)["data"], 1)
    for number in range(1_000):
        r.publish("queue", number)
    r.publish("queue", "end")
    found = []
    for m in p.listen():
        if m["data"] == b"end":
            break
        found.append(int(m["data"]))
    same(found, list(range(1_000)))
    p.close()


def shards(protocol):
    r = connect(protocol=protocol)
    p = r.pubsub()
    p.ssubscribe("orders", "bills")
    same(kinds(p, 2), [("ssubscribe", b"orders", 1), ("ssubscribe", b"bills", 2)])
    same(r.spublish("orders", "one"), 1)
    same(r.publish("orders", "not for shards"), 0)
    same(message(p), {"type": "smessage", "pattern": None, "channel": b"orders", "data": b"one"})
    same(sorted(r.pubsub_shardchannels()), [b"bills", b"orders"])
    same(dict(r.pubsub_shardnumsub("orders", "x")), {b"orders": 1, b"x": 0})
    p.sunsubscribe("orders", "bills")
    same([kind for kind, _, _ in kinds(p, 2)], ["sunsubscribe"] * 2)
    p.close()


def subscribes_anew(protocol):
    """A killed subscriber comes back with all that it had subscribed to."""
    r = connect(protocol=protocol)
    p = r.pubsub()
    p.subscribe("news")
    p.psubscribe("w*")
    p.ssubscribe("shard")
    kinds(p, 3)
    same(r.client_kill_filter(_type="pubsub"), 1)
    eventually("the subscriber to be gone", lambda: not r.client_list(_type="pubsub"))

    # redis-py connects anew when it reads, and answers nothing until then.
    def back():
        p.get_message(timeout=0.01)
        here = r.pubsub_numsub("news") == [(b"news", 1)] and r.pubsub_numpat() == 1
        return here and r.pubsub_shardnumsub("shard") == [(b"shard", 1)]

    eventually("the subscriptions to be back", back)
    for _ in iter(lambda: p.get_message(timeout=0.01), None):
        pass
    same((r.publish("news", "a"), r.publish("weather", "b"), r.spublish("shard", "c")), (1, 1, 1))
    same([data for _, _, data in kinds(p, 3)], [b"a", b"b", b"c"])
    p.close()


def events_of_keys(protocol):
    r = connect(protocol=protocol, decode_responses=True)
    r.config_set("notify-keyspace-events", "KEA")
    p = r.pubsub(ignore_subscribe_messages=True)
    p.psubscribe("__keyevent@0__:*")
    eventually("the subscription", lambda: p.get_message(timeout=0.01) is None and r.pubsub_numpat() == 1)
    r.set("k", "v", px=20)
    eventually("the key to expire", lambda: not r.exists("k"))
    found = [message(p) for _ in range(3)]
    same(
        [(m["channel"].split(":")[1], m["data"]) for m in found],
        [("set", "k"), ("expire", "k"), ("expired", "k")],
    )
    r.config_set("notify-keyspace-events", "")
    p.close()


def commands_beside_it():
    """In RESP3 a subscriber may run any command; in RESP2 it is told that it may not."""
    for protocol in (2, 3):
        r = connect(protocol=protocol)
        p = r.pubsub()
        p.subscribe("news")
        same(message(p)["type"], "subscribe")
        p.execute_command("SET", "beside", protocol)
        if protocol == 3:
            same(p.connection.read_response(), b"OK")
        else:
            refused(redis.ResponseError, p.connection.read_response, "only (P|S)SUBSCRIBE / (P|S)UNSUBSCRIBE / PING")
        p.close()


def in_both(check):
    def both():
        for protocol in (2, 3):
            check(protocol)

    both.__name__ = check.__name__
    return both


everything = (channels, handlers_and_threads, listening, shards, subscribes_anew, events_of_keys)
run(*map(in_both, everything), commands_beside_it)
