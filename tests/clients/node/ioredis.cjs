// ioredis, unchanged, in both protocol versions.

const assert = require("node:assert/strict");
const Redis = require("ioredis");
const { eventually, port, restart, run } = require("./shared.cjs");

const binary = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

async function withClient(options, use) {
  const redis = new Redis(port, { connectionName: "check", ...options });
  try {
    await use(redis);
    await redis.flushall();
  } finally {
    redis.disconnect();
  }
}

async function values(redis) {
  assert.equal(await redis.set("k", "v"), "OK");
  assert.equal(await redis.get("k"), "v");
  assert.equal(await redis.get("nothing"), null);
  assert.equal(await redis.set("k", "no", "NX"), null);
  assert.equal(await redis.set("k", "w", "EX", 100, "GET"), "v");
  assert.equal(await redis.ttl("k"), 100);
  assert.equal(await redis.set("k", "x", "KEEPTTL"), "OK");
  assert.equal(await redis.persist("k"), 1);
  assert.equal(await redis.pttl("k"), -1);
  await redis.mset({ a: "1", b: "2" });
  assert.deepEqual(await redis.mget("a", "nothing", "b"), ["1", null, "2"]);
  assert.equal(await redis.incrby("a", 41), 42);
  assert.equal(await redis.incrbyfloat("b", "0.5"), "2.5");
  assert.equal(await redis.append("k", "yz"), 3);
  assert.equal(await redis.getdel("k"), "xyz");
  await redis.set(binary, binary);
  assert.deepEqual(await redis.getBuffer(binary), binary);
  await assert.rejects(redis.incr(binary), /not an integer/);
  await redis.set("brief", "v", "PX", 20);
  await eventually("a key to expire", async () => (await redis.exists("brief")) === 0);
}

async function manyAtOnce(redis) {
  const replies = await Promise.all(Array.from({ length: 2_000 }, () => redis.incr("n")));
  assert.deepEqual(replies, Array.from({ length: 2_000 }, (_, index) => index + 1));
  const results = await redis.pipeline().set("p", 1).incr("p").get("p").incr("binary").exec();
  assert.deepEqual(results.map(([error, result]) => error ?? result), ["OK", 2, "2", 1]);
}

async function transactions(redis) {
  const results = await redis.multi().set("t", "1").incr("t").get("t").exec();
  assert.deepEqual(results, [[null, "OK"], [null, 2], [null, "2"]]);
  const other = redis.duplicate();
  await redis.watch("t");
  await other.set("t", "5");
  assert.equal(await redis.multi().set("t", "6").exec(), null);
  assert.equal(await redis.get("t"), "5");
  other.disconnect();
}

async function scans(redis) {
  await redis.mset(Object.fromEntries(Array.from({ length: 1_000 }, (_, number) => [`user:${number}`, number])));
  const found = new Set();
  for await (const keys of redis.scanStream({ match: "user:*", count: 100 })) keys.forEach((key) => found.add(key));
  assert.equal(found.size, 1_000);
  assert.equal(await redis.unlink(...found), 1_000);
}

async function server(redis) {
  assert.equal(await redis.client("GETNAME"), "check");
  assert.match(await redis.info("server"), /redis_version:7\.4\.0/);
  assert.match(await redis.client("LIST"), /lib-name=ioredis/);
  assert.ok((await redis.command("COUNT")) > 50);
}

async function reconnects() {
  await withClient({ keyPrefix: "app:" }, async (redis) => {
    await redis.set("kept", "yes");
    const again = new Promise((resolve) => redis.once("reconnecting", () => redis.once("ready", resolve)));
    await restart();
    await again;
    assert.equal(await redis.get("kept"), "yes");
    assert.deepEqual(await redis.keys("*"), ["app:kept"]);
  });
}

const checks = {};
for (const protocol of [2, 3]) {
  for (const check of [values, manyAtOnce, transactions, scans, server]) {
    checks[`${check.name}, RESP${protocol}`] = () => withClient({ protocol }, check);
  }
}
run({ ...checks, reconnects });
