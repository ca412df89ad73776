// ioredis, unchanged: queues, leaderboards and what it makes of collections, in both protocol versions.

const assert = require("node:assert/strict");
const Redis = require("ioredis");
const { eventually, port, run } = require("./shared.cjs");

const jobs = 200;
const numbers = (count) => Array.from({ length: count }, (_, number) => number);
const sorted = (list) => list.map(Number).sort((one, other) => one - other);

async function withClients(protocol, use) {
  const redis = new Redis(port, { protocol });
  // What waits has a connection of its own.
  const workers = numbers(4).map(() => redis.duplicate());
  try {
    await use(redis, workers);
    await redis.flushall();
  } finally {
    [redis, ...workers].forEach((client) => client.disconnect());
  }
}

const waiting = (redis, count) =>
  eventually(`${count} to wait`, async () => (await redis.info("clients")).includes(`blocked_clients:${count}\r\n`));

async function queue(redis, workers) {
  const done = [];
  const working = workers.map(async (worker) => {
    for (;;) {
      const [name, job] = await worker.brpop("urgent", "jobs", 20);
      if (job === "stop") return;
      assert.equal(name, "jobs");
      done.push(job);
    }
  });
  await waiting(redis, workers.length);
  await Promise.all(numbers(jobs).map((number) => redis.lpush("jobs", number)));
  await redis.lpush("urgent", ...workers.map(() => "stop"));
  await Promise.all(working);
  // The urgent list comes first, so some may be left.
  assert.deepEqual(sorted([...done, ...(await redis.lrange("jobs", 0, -1))]), numbers(jobs));
  await redis.del("jobs");
  // A connection that waits keeps what comes after it on the same connection waiting.
  const job = workers[0].blpop("jobs", 20);
  const behind = workers[0].get("after");
  await waiting(redis, 1);
  await redis.multi().rpush("jobs", "last").set("after", "yes").exec();
  assert.deepEqual([await job, await behind], [["jobs", "last"], "yes"]);
  assert.equal(await redis.brpop("jobs", 0.05), null);
}

async function reliableQueue(redis, workers) {
  await redis.rpush("jobs", ...numbers(jobs));
  await Promise.all(
    workers.map(async (worker, index) => {
      const own = `working:${index}`;
      for (let job; (job = await worker.blmove("jobs", own, "LEFT", "RIGHT", 0.1)) !== null;) {
        const [[error, removed]] = await worker.multi().lrem(own, 1, job).rpush("done", job).exec();
        assert.deepEqual([error, removed], [null, 1]);
      }
    }),
  );
  assert.deepEqual(sorted(await redis.lrange("done", 0, -1)), numbers(jobs));
  assert.deepEqual(await redis.keys("*"), ["done"]);
  assert.equal(await redis.brpoplpush("done", "again", 1), await redis.lindex("again", 0));
}

async function delayedQueue(redis, workers) {
  const now = Date.now();
  await redis.zadd("later", ...numbers(jobs).flatMap((number) => [now - number, number]), now + 86_400_000, "tomorrow");
  const done = [];
  await Promise.all(
    workers.map(async (worker) => {
      for (let due; (due = await worker.zrangebyscore("later", "-inf", now, "LIMIT", 0, 5)).length > 0;) {
        for (const job of due) if ((await worker.zrem("later", job)) === 1) done.push(job);
      }
    }),
  );
  assert.deepEqual(sorted(done), numbers(jobs));
  assert.deepEqual(await redis.zrange("later", 0, -1), ["tomorrow"]);
  const popped = workers[0].bzpopmin("soon", 20);
  await waiting(redis, 1);
  await redis.zadd("soon", 1.5, "job");
  const [name, job, score] = await popped;
  assert.deepEqual([name, job, Number(score)], ["soon", "job", 1.5]);
}

// Scores are texts and pairs are flat in both versions of the protocol.
async function leaderboard(redis) {
  assert.equal(await redis.zadd("board", 30, "anna", 20, "ben", 20, "carl", 10.5, "dora"), 4);
  assert.equal(await redis.zadd("board", "GT", "CH", 25, "anna", 12, "dora"), 1);
  assert.equal(await redis.zadd("board", "XX", "INCR", 5, "dora"), "17");
  assert.equal(await redis.zadd("board", "NX", "INCR", 5, "dora"), null);
  assert.equal(await redis.zincrby("board", 0.5, "ben"), "20.5");
  assert.deepEqual(await redis.zrevrange("board", 0, 1, "WITHSCORES"), ["anna", "30", "ben", "20.5"]);
  assert.deepEqual(await redis.zrange("board", 0, -1), ["dora", "carl", "ben", "anna"]);
  assert.deepEqual(await redis.zrange("board", "(20", "+inf", "BYSCORE", "LIMIT", 0, 1), ["ben"]);
  assert.deepEqual([await redis.zrevrank("board", "ben"), await redis.zrank("board", "ben")], [1, 2]);
  assert.deepEqual([await redis.zrank("board", "no"), await redis.zscore("board", "no")], [null, null]);
  assert.deepEqual(
    [await redis.zscore("board", "carl"), await redis.zmscore("board", "carl", "no")],
    ["20", ["20", null]],
  );
  assert.deepEqual(await redis.zpopmin("board"), ["dora", "17"]);
  assert.deepEqual(await redis.zpopmax("board", 2), ["anna", "30", "ben", "20.5"]);
  assert.deepEqual([await redis.zcount("board", "-inf", "(20"), await redis.zcard("board")], [0, 1]);
}

async function collections(redis) {
  assert.equal(await redis.hset("h", { name: "anna", age: 7 }), 2);
  assert.equal(await redis.hset("h", new Map([["age", 8]])), 0);
  assert.deepEqual({ ...(await redis.hgetall("h")) }, { name: "anna", age: "8" });
  assert.deepEqual({ ...(await redis.hgetall("no")) }, {});
  assert.deepEqual([await redis.hmget("h", "name", "no"), await redis.hincrby("h", "age", 2)], [["anna", null], 10]);
  assert.deepEqual(
    [await redis.hexists("h", "no"), await redis.hdel("h", "age", "no"), await redis.hlen("h")],
    [0, 1, 1],
  );
  assert.deepEqual(await redis.hexpire("h", 100, "FIELDS", 2, "name", "no"), [1, -2]);
  const [left] = await redis.httl("h", "FIELDS", 1, "name");
  assert.ok(left > 80 && left <= 100, left);
  assert.equal(await redis.sadd("s", "a", "b", ["c"]), 3);
  assert.deepEqual([...(await redis.smembers("s"))].sort(), ["a", "b", "c"]);
  assert.deepEqual(
    [await redis.sismember("s", "a"), await redis.smismember("s", "a", "x"), await redis.srem("s", "c")],
    [1, [1, 0], 1],
  );
  await redis.sadd("t", "b", "x");
  assert.deepEqual([[...(await redis.sinter("s", "t"))], await redis.sintercard(2, "s", "t")], [["b"], 1]);
  assert.ok(["a", "b"].includes(await redis.spop("s")));
  assert.deepEqual(
    [await redis.rpush("l", 1, 2, 3), await redis.lrange("l", 0, -1), await redis.lpop("l", 2)],
    [3, ["1", "2", "3"], ["1", "2"]],
  );
  assert.deepEqual(
    [await redis.lpop("no"), await redis.lpos("l", 3), await redis.linsert("l", "BEFORE", 3, 0)],
    [null, 0, 2],
  );
  assert.deepEqual(
    [await redis.sort("l", "DESC"), await redis.lmpop(1, "l", "LEFT")],
    [
      ["3", "0"],
      ["l", ["0"]],
    ],
  );
  await assert.rejects(redis.lpush("h", 1), /WRONGTYPE/);
  const results = await redis.pipeline().rpush("p", 1).hget("p", "a").lrange("p", 0, -1).exec();
  assert.deepEqual(
    [results[0], results[2]],
    [
      [null, 1],
      [null, ["1"]],
    ],
  );
  assert.match(results[1][0].message, /WRONGTYPE/);
  assert.deepEqual(await redis.lrangeBuffer("p", 0, -1), [Buffer.from("1")]);
}

async function walks(redis) {
  await redis.hset("h", Object.fromEntries(numbers(1_000).map((number) => [`f${number}`, number])));
  await redis.sadd("s", ...numbers(1_000));
  await redis.zadd("z", ...numbers(1_000).flatMap((number) => [number, number]));
  const gather = async (stream) => {
    const found = [];
    for await (const batch of stream) found.push(...batch);
    return found;
  };
  assert.equal(
    new Set((await gather(redis.hscanStream("h", { count: 50 }))).filter((_, index) => index % 2 === 0)).size,
    1_000,
  );
  assert.equal(new Set(await gather(redis.sscanStream("s", { match: "99?" }))).size, 10);
  assert.deepEqual((await gather(redis.zscanStream("z", { match: "77" }))).map(String), ["77", "77"]);
}

const checks = {};
for (const protocol of [2, 3]) {
  for (const check of [queue, reliableQueue, delayedQueue, leaderboard, collections, walks]) {
    checks[`${check.name}, RESP${protocol}`] = () => withClients(protocol, check);
  }
}
run(checks);
