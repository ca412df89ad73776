// node-redis, unchanged: queues, leaderboards and what it makes of collections, in both protocol versions.

const assert = require("node:assert/strict");
const { createClient, createClientPool } = require("redis");
const { eventually, port, run } = require("./shared.cjs");

const jobs = 200;
const numbers = (count) => Array.from({ length: count }, (_, number) => number);
const texts = (count) => numbers(count).map(String);
const sorted = (list) => list.map(Number).sort((one, other) => one - other);

async function withClients(RESP, use) {
  const client = await createClient({ socket: { port }, RESP })
    .on("error", () => {})
    .connect();
  // What waits has a connection of its own.
  const workers = await Promise.all(
    numbers(4).map(() =>
      client
        .duplicate()
        .on("error", () => {})
        .connect(),
    ),
  );
  try {
    await use(client, workers);
    await client.flushAll();
  } finally {
    [client, ...workers].forEach((one) => one.destroy());
  }
}

const waiting = (client, count) =>
  eventually(`${count} to wait`, async () => (await client.info("clients")).includes(`blocked_clients:${count}\r\n`));

async function queue(client, workers) {
  const done = [];
  const working = workers.map(async (worker) => {
    for (;;) {
      const { key, element } = await worker.brPop(["urgent", "jobs"], 20);
      if (element === "stop") return;
      assert.equal(key, "jobs");
      done.push(element);
    }
  });
  await waiting(client, workers.length);
  await Promise.all(texts(jobs).map((job) => client.lPush("jobs", job)));
  await client.lPush(
    "urgent",
    workers.map(() => "stop"),
  );
  await Promise.all(working);
  // The urgent list comes first, so some may be left.
  assert.deepEqual(sorted([...done, ...(await client.lRange("jobs", 0, -1))]), numbers(jobs));
  await client.del("jobs");
  assert.equal(await client.blPop("jobs", 0.05), null);
  // One that is destroyed while it waits takes nothing with it.
  const gone = workers[0].duplicate().on("error", () => {});
  await gone.connect();
  const never = assert.rejects(gone.blPop("jobs", 0));
  await waiting(client, 1);
  gone.destroy();
  await never;
  await waiting(client, 0);
  assert.equal(await client.rPush("jobs", "kept"), 1);
  assert.deepEqual({ ...(await workers[0].blPop("jobs", 1)) }, { key: "jobs", element: "kept" });
}

async function reliableQueue(client, workers) {
  await client.rPush("jobs", texts(jobs));
  await Promise.all(
    workers.map(async (worker, index) => {
      const own = `working:${index}`;
      for (let job; (job = await worker.blMove("jobs", own, "LEFT", "RIGHT", 0.1)) !== null;) {
        const [removed] = await worker.multi().lRem(own, 1, job).rPush("done", job).exec();
        assert.equal(removed, 1);
      }
    }),
  );
  assert.deepEqual(sorted(await client.lRange("done", 0, -1)), numbers(jobs));
  assert.deepEqual(await client.keys("*"), ["done"]);
}

async function delayedQueue(client, workers) {
  const now = Date.now();
  await client.zAdd(
    "later",
    texts(jobs).map((value, index) => ({ score: now - index, value })),
  );
  await client.zAdd("later", { score: now + 86_400_000, value: "tomorrow" });
  const done = [];
  await Promise.all(
    workers.map(async (worker) => {
      for (
        let due;
        (due = await worker.zRangeByScore("later", "-inf", now, { LIMIT: { offset: 0, count: 5 } })).length > 0;
      ) {
        for (const job of due) if ((await worker.zRem("later", job)) === 1) done.push(job);
      }
    }),
  );
  assert.deepEqual(sorted(done), numbers(jobs));
  assert.deepEqual(await client.zRange("later", 0, -1), ["tomorrow"]);
  const popped = workers[0].bzPopMin("soon", 20);
  await waiting(client, 1);
  await client.zAdd("soon", { score: 1.5, value: "job" });
  assert.deepEqual({ ...(await popped) }, { key: "soon", value: "job", score: 1.5 });
}

async function pooled() {
  // A pool gives what waits a connection of its own.
  const pool = await createClientPool({ socket: { port } }, { minimum: 1, maximum: 8 }).connect();
  const found = numbers(4).map(() => pool.blPop("jobs", 20));
  await waiting(pool, 4);
  await pool.rPush("jobs", ["a", "b", "c", "d"]);
  assert.deepEqual((await Promise.all(found)).map(({ element }) => element).sort(), ["a", "b", "c", "d"]);
  await pool.flushAll();
  pool.destroy();
}

async function leaderboard(client) {
  const plain = (list) => list.map((item) => ({ ...item }));
  const board = [
    [30, "anna"],
    [20, "ben"],
    [20, "carl"],
    [10.5, "dora"],
  ].map(([score, value]) => ({ score, value }));
  assert.equal(await client.zAdd("board", board), 4);
  const better = [
    { score: 25, value: "anna" },
    { score: 12, value: "dora" },
  ];
  assert.equal(await client.zAdd("board", better, { comparison: "GT", CH: true }), 1);
  assert.equal(await client.zAddIncr("board", { score: 5, value: "dora" }), 17);
  assert.equal(await client.zAddIncr("board", { score: 5, value: "dora" }, { condition: "NX" }), null);
  assert.equal(await client.zIncrBy("board", 0.5, "ben"), 20.5);
  assert.deepEqual(plain(await client.zRangeWithScores("board", 0, 1, { REV: true })), [
    { value: "anna", score: 30 },
    { value: "ben", score: 20.5 },
  ]);
  assert.deepEqual(await client.zRange("board", "(20", "+inf", { BY: "SCORE" }), ["ben", "anna"]);
  assert.deepEqual(
    [await client.zRevRank("board", "ben"), await client.zRank("board", "ben"), await client.zRank("board", "no")],
    [1, 2, null],
  );
  assert.deepEqual([await client.zScore("board", "carl"), await client.zScore("board", "no")], [20, null]);
  assert.deepEqual([...(await client.zmScore("board", ["carl", "no"]))], [20, null]);
  assert.equal(await client.zAdd("board", { score: Infinity, value: "god" }), 1);
  assert.equal(await client.zScore("board", "god"), Infinity);
  assert.deepEqual({ ...(await client.zPopMax("board")) }, { value: "god", score: Infinity });
  assert.deepEqual(plain(await client.zPopMinCount("board", 2)), [
    { value: "dora", score: 17 },
    { value: "carl", score: 20 },
  ]);
  assert.equal(await client.zPopMin("no"), null);
  assert.equal(await client.zUnionStore("all", ["board", "no"]), 2);
}

async function collections(client) {
  assert.equal(await client.hSet("h", { name: "anna", age: 7 }), 2);
  assert.deepEqual({ ...(await client.hGetAll("h")) }, { name: "anna", age: "7" });
  assert.deepEqual({ ...(await client.hGetAll("no")) }, {});
  assert.deepEqual([await client.hmGet("h", ["name", "no"]), await client.hIncrBy("h", "age", 2)], [["anna", null], 9]);
  assert.deepEqual(
    [await client.hExists("h", "no"), await client.hGet("h", "no"), await client.hDel("h", "age")],
    [0, null, 1],
  );
  assert.deepEqual(await client.hExpire("h", ["name", "no"], 100), [1, -2]);
  const [left] = await client.hTTL("h", "name");
  assert.ok(left > 80 && left <= 100, left);
  assert.deepEqual(await client.hGetEx("h", "name", { expiration: { type: "EX", value: 500 } }), ["anna"]);
  assert.deepEqual(
    [await client.hSetEx("h", { a: "1" }, { expiration: { type: "EX", value: 50 } }), await client.hGetDel("h", "a")],
    [1, ["1"]],
  );
  assert.equal(await client.sAdd("s", ["a", "b", "c"]), 3);
  assert.deepEqual([...(await client.sMembers("s"))].sort(), ["a", "b", "c"]);
  assert.deepEqual(
    [await client.sIsMember("s", "a"), [...(await client.smIsMember("s", ["a", "x"]))], await client.sRem("s", "c")],
    [1, [1, 0], 1],
  );
  await client.sAdd("t", ["b", "x"]);
  assert.deepEqual([[...(await client.sInter(["s", "t"]))], await client.sInterCard(["s", "t"])], [["b"], 1]);
  assert.ok(["a", "b"].includes(await client.sPop("s")));
  assert.deepEqual(
    [await client.rPush("l", ["1", "2", "3"]), await client.lRange("l", 0, -1), await client.lPopCount("l", 2)],
    [3, ["1", "2", "3"], ["1", "2"]],
  );
  assert.deepEqual(
    [await client.lPop("no"), await client.lPos("l", "3"), await client.lInsert("l", "BEFORE", "3", "0")],
    [null, 0, 2],
  );
  assert.deepEqual(
    [await client.sort("l", { DIRECTION: "DESC" }), await client.lmPop("l", "LEFT")],
    [
      ["3", "0"],
      ["l", ["0"]],
    ],
  );
  await assert.rejects(client.lPush("h", "1"), /WRONGTYPE/);
  assert.deepEqual(
    await client
      .multi()
      .rPush("p", "1")
      .hSet("q", "a", "b")
      .hGetAll("q")
      .zAdd("z", { score: 1, value: "m" })
      .zScore("z", "m")
      .exec()
      .then((found) => found.map((reply) => (typeof reply === "object" ? { ...reply } : reply))),
    [1, 1, { a: "b" }, 1, 1],
  );
}

async function walks(client) {
  await client.hSet("h", Object.fromEntries(texts(1_000).map((number) => [`f${number}`, number])));
  await client.sAdd("s", texts(1_000));
  await client.zAdd(
    "z",
    texts(1_000).map((value) => ({ score: Number(value), value })),
  );
  const gather = async (batches) => {
    const found = [];
    for await (const batch of batches) found.push(...batch);
    return found;
  };
  assert.equal(new Set((await gather(client.hScanIterator("h", { COUNT: 50 }))).map(({ field }) => field)).size, 1_000);
  assert.equal(new Set(await gather(client.hScanNoValuesIterator("h"))).size, 1_000);
  assert.equal(new Set(await gather(client.sScanIterator("s", { MATCH: "99?" }))).size, 10);
  assert.deepEqual(
    (await gather(client.zScanIterator("z", { MATCH: "77" }))).map((item) => ({ ...item })),
    [{ value: "77", score: 77 }],
  );
}

const checks = {};
for (const RESP of [2, 3]) {
  for (const check of [queue, reliableQueue, delayedQueue, leaderboard, collections, walks]) {
    checks[`${check.name}, RESP${RESP}`] = () => withClients(RESP, check);
  }
}
run({ ...checks, pooled });
