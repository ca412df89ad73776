"""A leaderboard as users of redis-py write it, held beside one that Python keeps."""

import random
import threading

from shared import PATIENCE, connect, run, same

PLAYERS = 500


def name(number):
    return f"player:{number:03}"


def ranked(scores):
    """Best first; of equals, the one whose name is last."""
    return sorted(scores.items(), key=lambda item: (item[1], item[0]), reverse=True)


def pairs(found):
    return [tuple(pair) for pair in found]


def filled(r):
    """With many ties."""
    chance = random.Random(7)
    scores = {name(number): float(chance.randrange(60)) for number in range(PLAYERS)}
    same(r.zadd("board", scores), PLAYERS)
    return scores


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
def pages(r):
    scores = filled(r)
    best = ranked(scores)
    for first in range(0, PLAYERS, 50):
        same(pairs(r.zrevrange("board", first, first + 49, withscores=True)), best[first : first + 50])
        same(pairs(r.zrange("board", first, first + 49, desc=True, withscores=True)), best[first : first + 50])
    same(r.zrevrange("board", PLAYERS, PLAYERS + 9), [])
    same(pairs(r.zrange("board", 0, -1, withscores=True)), best[::-1])


@each
def ranks(r):
    scores = filled(r)
    best = ranked(scores)
    with r.pipeline(transaction=False) as p:
        for player, _ in best:
            p.zrevrank("board", player).zrank("board", player).zscore("board", player)
        found = p.execute()
    expected = [(place, PLAYERS - 1 - place, score) for place, (_, score) in enumerate(best)]
    same(list(zip(found[::3], found[1::3], found[2::3])), expected)
    same([r.zrevrank("board", "nobody"), r.zscore("board", "nobody")], [None, None])
    # Those who share a score share a place: one more than there are better ones.
    for player, score in best[:20]:
        same(r.zcount("board", f"({score}", "+inf"), sum(other > score for other in scores.values()))


@each
def around_me(r):
    best = ranked(filled(r))
    for place in (0, 1, 4, 250, PLAYERS - 1):
        mine = r.zrevrank("board", best[place][0])
        same(mine, place)
        first = max(mine - 2, 0)
        same(pairs(r.zrevrange("board", first, mine + 2, withscores=True)), best[first : place + 3])


@each
def best_of_each(r):
    """GT keeps a player's best; LT the fastest; the reply says whether it is a new one."""
    same([r.zadd("best", {"a": 10}, gt=True, ch=True), r.zadd("best", {"a": 5}, gt=True, ch=True)], [1, 0])
    same([r.zadd("best", {"a": 20}, gt=True, ch=True), r.zscore("best", "a")], [1, 20.0])
    same(r.zadd("best", {"a": -1}, gt=True, incr=True), None)
    same(r.zadd("best", {"a": 1}, gt=True, incr=True), 21.0)
    same([r.zadd("fastest", {"a": 9.5}), r.zadd("fastest", {"a": 9.25, "b": 11}, lt=True, ch=True)], [1, 2])
    same(pairs(r.zrange("fastest", 0, -1, withscores=True)), [("a", 9.25), ("b", 11.0)])
    same([r.zadd("best", {"new": 1}, xx=True), r.zadd("best", {"a": 1}, nx=True), r.zcard("best")], [0, 0, 1])


@each
def many_play_at_once(r):
    """No point is lost; the order is that of the points."""
    total, lock = {name(number): 0 for number in range(50)}, threading.Lock()

    def plays(seed):
        mine, chance = connect(), random.Random(seed)
        for _ in range(200):
            player, points = name(chance.randrange(50)), chance.randrange(1, 10)
            mine.zincrby("board", points, player)
            with lock:
                total[player] += points

    threads = [threading.Thread(target=plays, args=(seed,), daemon=True) for seed in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(PATIENCE)
    same([thread.is_alive() for thread in threads], [False] * 6)
    same(
        pairs(r.zrevrange("board", 0, -1, withscores=True)),
        ranked({player: float(points) for player, points in total.items() if points}),
    )


@each
def only_the_best_stay(r):
    best = ranked(filled(r))
    same(r.zremrangebyrank("board", 0, -101), PLAYERS - 100)
    same(pairs(r.zrevrange("board", 0, -1, withscores=True)), best[:100])
    limit = best[49][1]
    below = sum(score < limit for _, score in best[:100])
    same(r.zremrangebyscore("board", "-inf", f"({limit}"), below)
    same(r.zcard("board"), 100 - below)


@each
def weeks_make_a_month(r):
    chance = random.Random(11)
    weeks = [{name(chance.randrange(100)): float(chance.randrange(1_000)) for _ in range(60)} for _ in range(4)]
    for number, week in enumerate(weeks):
        r.zadd(f"week:{number}", week)
    names = [f"week:{number}" for number in range(4)]
    month = {}
    for week in weeks:
        for player, score in week.items():
            month[player] = month.get(player, 0) + score
    same(r.zunionstore("month", names), len(month))
    same(pairs(r.zrevrange("month", 0, -1, withscores=True)), ranked(month))
    always = set(weeks[0]).intersection(*weeks[1:])
    same(r.zinterstore("always", names, aggregate="MAX"), len(always))
    same({*r.zrange("always", 0, -1)}, always)
    friends = [name(number) for number in range(0, 100, 3)]
    r.sadd("friends", *friends)
    same(r.zinterstore("mine", {"month": 1, "friends": 0}), len(month.keys() & set(friends)))
    same(pairs(r.zrevrange("mine", 0, 2, withscores=True)), ranked({f: month[f] for f in friends if f in month})[:3])


@each
def a_window_that_slides(r):
    """How users limit requests without a script."""
    for now in range(100):
        with r.pipeline() as p:
            p.zremrangebyscore("hits", 0, now - 10).zadd("hits", {f"hit:{now}": now}).zcard("hits").expire("hits", 100)
            same(p.execute(), [int(now >= 10), 1, min(now + 1, 10), True])


run(
    pages,
    ranks,
    around_me,
    best_of_each,
    many_play_at_once,
    only_the_best_stay,
    weeks_make_a_month,
    a_window_that_slides,
)
