"""redis-py's connections: how it opens, shares, checks, loses and renews them, and who it may be."""

import threading

import redis
from redis.backoff import ConstantBackoff
from redis.cluster import RedisCluster
from redis.exceptions import NoPermissionError, RedisClusterException
from redis.retry import Retry
from redis.sentinel import MasterNotFoundError, Sentinel
from shared import PATIENCE, PORT, SOCKET, connect, eventually, knows, refused, run, same


def defaults():
    """Without any option: RESP3, and the library's name told."""
    r = redis.Redis(port=PORT)
    same(r.ping(), True)
    same(r.connection_pool.get_connection().get_protocol(), 3)
    mine = r.client_info()
    same((str(mine["resp"]), mine["lib-name"], mine["lib-ver"]), ("3", "redis-py", redis.__version__))
    # What tells a client to wait for pushes that never come has to be refused.
    refused(redis.ResponseError, lambda: r.execute_command("CLIENT MAINT_NOTIFICATIONS", "ON"), "unknown subcommand")
    r.close()


def hello():
    r = connect(protocol=2)
    found = r.execute_command("HELLO")
    # Some clients read this list by position.
    same(found[0::2], [b"server", b"version", b"proto", b"id", b"mode", b"role", b"modules"])
    same((found[1], found[5], found[9], found[11], found[13]), (b"redis", 2, b"standalone", b"master", []))
    refused(redis.ResponseError, lambda: r.execute_command("HELLO", 4), "unsupported protocol version")
    r.close()


def threads(count, work):
    failures = []

    def guarded(number):
        try:
            work(number)
        except BaseException as failure:
            failures.append(failure)

    running = [threading.Thread(target=guarded, args=(number,), daemon=True) for number in range(count)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join(PATIENCE * 2)
    same((failures, [thread.is_alive() for thread in running]), ([], [False] * count))


def pools():
    shared = redis.Redis(connection_pool=redis.ConnectionPool(port=PORT, max_connections=40, client_name="shared"))

    def works(number):
        for turn in range(50):
            key = f"{number}:{turn}"
            shared.set(key, turn)
            same(shared.get(key), b"%d" % turn)
            with shared.pipeline() as p:
                p.incr("total").delete(key)
                assert p.execute()[1] == 1

    threads(30, works)
    same(shared.getdel("total"), b"1500")
    opened = [client for client in shared.client_list() if client["name"] == "shared"]
    assert 1 <= len(opened) <= 40
    shared.connection_pool.disconnect()
    r = connect()
    eventually("them to be gone", lambda: not [c for c in r.client_list() if c["name"] == "shared"])

    full = redis.Redis(connection_pool=redis.ConnectionPool(port=PORT, max_connections=1))
    held = full.connection_pool.get_connection()
    refused(redis.ConnectionError, full.ping, "Too many connections")
    full.connection_pool.release(held)
    same(full.ping(), True)


def blocking_pool():
    pool = redis.BlockingConnectionPool(port=PORT, max_connections=2, timeout=PATIENCE, client_name="blocking")
    r = redis.Redis(connection_pool=pool)
    threads(20, lambda _: [r.incr("hits") for _ in range(25)])
    same(r.getdel("hits"), b"500")
    assert len([client for client in r.client_list() if client["name"] == "blocking"]) <= 2
    pool.disconnect()
    small = redis.BlockingConnectionPool(port=PORT, max_connections=1, timeout=0.01)
    held = small.get_connection()
    refused(redis.ConnectionError, redis.Redis(connection_pool=small).ping, "No connection available")
    small.release(held)


def unix_socket():
    for protocol in (2, 3):
        r = redis.Redis(unix_socket_path=SOCKET, protocol=protocol, db=4)
        same(r.set("k", "v"), True)
        mine = r.client_info()
        same((mine["addr"], mine["db"], "U" in mine["flags"]), (mine["laddr"], 4, True))
        same(redis.from_url(f"unix://{SOCKET}?db=4&decode_responses=True").get("k"), "v")
        r.flushall()
        r.close()


def urls():
    r = redis.from_url(f"redis://127.0.0.1:{PORT}/3?client_name=url&protocol=2&socket_timeout=20")
    mine = r.client_info()
    same((mine["db"], mine["name"], int(mine["resp"])), (3, "url", 2))
    refused(redis.ResponseError, lambda: connect(db=99).ping(), "DB index is out of range")


def passwords():
    r = connect()
    # A refused password is a failed connection to redis-py, which would try again for a while.
    once = {"retry": Retry(ConstantBackoff(0), 0)}
    r.acl_setuser("reader", enabled=True, passwords=["+first", "+second"], keys=["app:*"], commands=["+get", "+ping"])
    for protocol in (2, 3):
        reader = connect(username="reader", password="second", protocol=protocol)
        same(reader.get("app:1"), None)
        refused(NoPermissionError, lambda: reader.get("other"), "No permissions to access a key")
        refused(NoPermissionError, lambda: reader.set("app:1", "v"), "no permissions to run the 'set' command")
        with reader.pipeline(transaction=False) as p:
            p.get("app:1").get("other").ping()
            found = p.execute(raise_on_error=False)
            same((found[0], type(found[1]), found[2]), (None, NoPermissionError, True))
        wrong = connect(username="reader", password="wrong", protocol=protocol, **once)
        refused(redis.AuthenticationError, wrong.ping, "invalid username-password pair or user is disabled")
        url = f"redis://reader:first@127.0.0.1:{PORT}/?protocol={protocol}"
        same(redis.from_url(url).ping(), True)

    class Provider(redis.CredentialProvider):
        def get_credentials(self):
            return "reader", "first"

    same(connect(credential_provider=Provider()).ping(), True)
    same(r.acl_whoami(), "default")
    same(r.acl_users(), ["default", "reader"])
    rules = r.acl_getuser("reader")
    assert "on" in rules["flags"] and len(rules["passwords"]) == 2, rules
    same(r.acl_dryrun("reader", "get", "app:1"), b"OK")
    assert len(r.acl_log()) > 0
    same(r.acl_log_reset(), True)
    same(r.acl_deluser("reader"), 1)

    r.config_set("requirepass", "secret")
    for protocol in (2, 3):
        refused(redis.AuthenticationError, connect(protocol=protocol, **once).ping, "uthenticated" if protocol == 3 else "Authentication required")
        wrong = connect(protocol=protocol, password="x", **once)
        refused(redis.AuthenticationError, wrong.ping, "invalid username-password")
        same(connect(protocol=protocol, password="secret").ping(), True)
        same(connect(protocol=protocol, username="default", password="secret").ping(), True)
    r.config_set("requirepass", "")
    # Any password will do where none is asked for.
    same(connect(protocol=3, password="x").ping(), True)
    needless = connect(protocol=2, password="x", **once)
    refused(redis.AuthenticationError, needless.ping, "without any password configured")


def kill(r, name):
    """Ends the connections of that name and returns once they are gone."""
    mine = [client for client in r.client_list() if client["name"] == name]
    for client in mine:
        r.client_kill_filter(_id=client["id"])
    eventually("them to be gone", lambda: not [c for c in r.client_list() if c["name"] == name])
    assert mine


def comes_back():
    control = connect()
    for options in (
        {"retry": Retry(ConstantBackoff(0.01), 5)},
        {"retry": Retry(ConstantBackoff(0.01), 5), "health_check_interval": 1, "protocol": 2},
        {"retry": Retry(ConstantBackoff(0.01), 5), "db": 2, "decode_responses": True},
    ):
        r = connect(client_name="victim", **options)
        r.set("k", "v")
        before = r.client_id()
        for _ in range(5):
            kill(control, "victim")
            assert r.get("k") in (b"v", "v")
        # It is who it was, and where.
        same((r.client_info()["db"], r.client_info()["name"]), (options.get("db", 0), "victim"))
        assert r.client_id() > before
        r.close()
    control.flushall()


def without_retries():
    control = connect()
    r = connect(client_name="victim", retry=Retry(ConstantBackoff(0), 0), single_connection_client=True)
    same(r.set("k", "v"), True)
    kill(control, "victim")
    refused(redis.ConnectionError, lambda: r.get("k"))
    same(r.get("k"), b"v")
    control.flushall()


def health_checks():
    """A PING goes before a command whenever the connection was not looked at for the interval."""
    control = connect()
    r = connect(health_check_interval=0.001, client_name="healthy")
    pings = lambda: control.info("commandstats").get("cmdstat_ping", {}).get("calls", 0)
    before = pings()

    def asks():
        r.get("k")
        return pings() >= before + 3

    eventually("health checks", asks)
    p = connect(health_check_interval=1).pubsub()
    p.subscribe("news")
    same(p.get_message(timeout=PATIENCE)["type"], "subscribe")
    p.check_health()
    same(control.publish("news", "x"), 1)
    eventually("the message behind the check", lambda: (p.get_message(timeout=1) or {}).get("data") == b"x")


def timeouts():
    r = connect(retry=Retry(ConstantBackoff(0), 0), socket_timeout=0.05)
    p = r.pubsub()
    p.subscribe("silence")
    same(p.get_message(timeout=PATIENCE)["type"], "subscribe")
    same(p.get_message(timeout=0.1), None)
    same(r.ping(), True)


def watch_retries():
    """Four threads count by WATCH, GET, MULTI, SET: no step is lost."""

    def counts(_):
        r = connect()
        for _ in range(40):
            while True:
                with r.pipeline() as p:
                    try:
                        p.watch("counter")
                        value = int(p.get("counter") or 0)
                        p.multi()
                        p.set("counter", value + 1)
                        p.execute()
                        break
                    except redis.WatchError:
                        pass

    threads(4, counts)
    r = connect()
    same(r.get("counter"), b"160")
    with r.pipeline() as p:
        p.watch("counter")
        p.unwatch()
        r.incr("counter")
        same(p.incr("counter").execute(), [162])
    with r.pipeline() as p:
        p.set("a", 1).set("b", 2)
        p.reset()
        same(p.execute(), [])
    same(r.exists("a", "b"), 0)
    r.flushall()


def pipelines():
    r = connect()
    with r.pipeline(transaction=False) as p:
        p.set("word", "x").incr("word").get("word").execute_command("NOSUCH", "a").ping()
        found = p.execute(raise_on_error=False)
    same((found[0], found[2], found[4]), (True, b"x", True))
    same(str(found[1]), "value is not an integer or out of range")
    assert str(found[3]).startswith("unknown command 'NOSUCH', with args beginning with: 'a' "), found[3]
    with r.pipeline() as p:
        # One that is refused while it is queued ends all.
        p.set("word", "y").execute_command("NOSUCH").get("word")
        refused(redis.ResponseError, p.execute, "unknown command 'NOSUCH'")
    same(r.get("word"), b"x")
    with r.pipeline() as p:
        p.set("word", "y").incr("word").get("word")
        found = p.execute(raise_on_error=False)
    same((found[0], type(found[1]), found[2]), (True, redis.ResponseError, b"y"))
    large = b"v" * 100_000
    with r.pipeline(transaction=False) as p:
        for number in range(100):
            p.set(f"k{number}", large)
            p.get(f"k{number}")
        found = p.execute()
    same((found[0::2], set(found[1::2])), ([True] * 100, {large}))
    r.flushall()


def locks():
    """Taking a lock, waiting for it, its time, and who sees it; giving it back is a script."""
    r = connect()
    first = r.lock("resource", timeout=30)
    same(first.acquire(), True)
    assert 0 < r.pttl("resource") <= 30_000
    same((first.owned(), first.locked()), (True, True))
    second = r.lock("resource", timeout=30)
    same(second.acquire(blocking=False), False)
    same(second.acquire(blocking_timeout=0.05), False)
    same((second.owned(), second.locked()), (False, True))
    if knows("evalsha"):
        first.release()
    else:
        refused(redis.ResponseError, first.release, "unknown command")
        r.delete("resource")
    brief = r.lock("resource", timeout=0.03, sleep=0.001)
    same(brief.acquire(), True)
    same(second.acquire(blocking_timeout=PATIENCE), True)
    r.flushall()


def monitors():
    """What others do is shown as it happens, their passwords are not; redis-py reads the line into its parts."""
    r = connect(protocol=2)
    with r.monitor() as monitor:
        r.set("k", 'a "quoted" value')
        refused(redis.AuthenticationError, lambda: r.execute_command("AUTH", "nobody", "secret"))
        r.execute_command("SELECT", 0)
        shown = []
        while not shown or shown[-1]["command"] != "SELECT 0":
            shown.append(monitor.next_command())
    commands = [one["command"] for one in shown]
    assert 'SET k a "quoted" value' in commands and "AUTH (redacted) (redacted)" in commands, commands
    same({(one["db"], one["client_type"], one["client_address"]) for one in shown}, {(0, "tcp", "127.0.0.1")})
    r.flushall()


def pauses():
    """CLIENT PAUSE, UNPAUSE and UNBLOCK, WAIT and WAITAOF."""
    r, other = connect(), connect(client_name="waits")
    same(r.client_pause(60_000, all=False), True)
    results = []
    writing = threading.Thread(target=lambda: results.append(other.set("k", "v")), daemon=True)
    writing.start()
    eventually("it to be held back", lambda: r.info("clients")["blocked_clients"] == 1)
    same((results, r.get("k")), ([], None))
    same(r.client_unpause(), b"OK")
    writing.join(PATIENCE)
    same((results, r.get("k")), ([True], b"v"))
    waiting = threading.Thread(target=lambda: results.append(other.wait(1, 0)), daemon=True)
    waiting.start()
    found = eventually("it to wait", lambda: [one["id"] for one in r.client_list() if one["flags"] == "b"])
    same(r.client_unblock(found[0], error=False), True)
    waiting.join(PATIENCE)
    same(results, [True, 0])
    r.set("k", "w")
    same(r.waitaof(1, 0, 0), [1, 0])
    r.flushall()


def alone():
    """No cluster and no sentinel, said so that redis-py understands it."""
    r = connect()
    refused(redis.ResponseError, r.sentinel_masters, "unknown command")
    refused(redis.ResponseError, lambda: r.cluster("nodes"), "cluster support disabled")
    sentinel = Sentinel([("127.0.0.1", PORT)], socket_timeout=PATIENCE)
    refused((MasterNotFoundError, redis.ResponseError), lambda: sentinel.discover_master("mymaster"))
    refused(RedisClusterException, lambda: RedisCluster(host="127.0.0.1", port=PORT), "Cluster mode is not enabled on this node")
    same(r.role()[0:2], [b"master", r.role()[1]])


run(
    defaults,
    hello,
    pools,
    blocking_pool,
    unix_socket,
    urls,
    passwords,
    comes_back,
    without_retries,
    health_checks,
    timeouts,
    watch_retries,
    pipelines,
    locks,
    monitors,
    pauses,
    alone,
)
