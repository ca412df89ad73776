"""redis-py over TLS: both protocol versions, blocking and asyncio.

Called with a port, the certificate of an authority, and a certificate with its key.
"""

import asyncio
import sys

import redis
import redis.asyncio

PORT, AUTHORITY, CERTIFICATE, KEY = sys.argv[1:]
URL = f"rediss://localhost:{PORT}/1"
TRUST = {"ssl_ca_certs": AUTHORITY, "ssl_cert_reqs": "required", "ssl_check_hostname": True, "socket_timeout": 20}
OWN = {"ssl_certfile": CERTIFICATE, "ssl_keyfile": KEY}
LARGE = bytes(range(256)) * 40_000


def same(found, expected):
    assert found == expected, f"{found!r} instead of {expected!r}"


def blocking(protocol):
    r = redis.Redis.from_url(URL, protocol=protocol, **TRUST, **OWN)
    same(r.set("k", LARGE), True)
    assert r.get("k") == LARGE
    with r.pipeline(transaction=False) as pipeline:
        for number in range(10_000):
            pipeline.set(f"key:{number}", number)
        same(pipeline.execute(), [True] * 10_000)
    same(r.get("key:9999"), b"9999")
    listener = r.pubsub(ignore_subscribe_messages=True)
    listener.subscribe("news")
    same(listener.get_message(timeout=20), None)
    same(r.publish("news", "hello"), 1)
    same(listener.get_message(timeout=20)["data"], b"hello")
    r.close()


async def asynchronous(protocol):
    async with redis.asyncio.Redis.from_url(URL, protocol=protocol, **TRUST, **OWN) as r:
        same(await r.incrby(f"n{protocol}", 7), 7)
        same(len(await asyncio.gather(*(r.get("key:1") for _ in range(20)))), 20)


def refused():
    try:
        redis.Redis.from_url(URL, **TRUST).ping()
    except redis.ConnectionError:
        return
    raise AssertionError("a client without a certificate was let in")


for version in (2, 3):
    blocking(version)
    asyncio.run(asynchronous(version))
refused()
print("done")
