// node-redis, unchanged, in both protocol versions.

const assert = require("node:assert/strict");
const { createClient, createClientPool, RESP_TYPES, WatchError } = require("redis");
const { eventually, port, restart, run } = require("./shared.cjs");

const binary = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));

async function withClient(options, use) {
  const client = createClient({ socket: { port, reconnectStrategy: 20 }, name: "check", ...options });
  // Errors of the connection are what the check of reconnecting expects; others fail the command they belong to.
  client.on("error", () => {});
  await client.connect();
  try {
    await use(client);
    await client.flushAll();
  } finally {
    client.destroy();
  }
}

async function values(client) {
  assert.equal(await client.set("k", "v"), "OK");
  assert.equal(await client.get("k"), "v");
  assert.equal(await client.get("nothing"), null);
  assert.equal(await client.set("k", "no", { condition: "NX" }), null);
  assert.equal(await client.set("k", "w", { expiration: { type: "EX", value: 100 }, GET: true }), "v");
  assert.equal(await client.ttl("k"), 100);
  assert.equal(await client.expire("k", 50, "GT"), 0);
  assert.equal(await client.persist("k"), 1);
  await client.mSet({ a: "1", b: "2" });
  assert.deepEqual(await client.mGet(["a", "nothing", "b"]), ["1", null, "2"]);
  assert.equal(await client.incrBy("a", 41), 42);
  assert.equal(await client.incrByFloat("b", 0.5), "2.5");
  assert.equal(await client.getEx("k", { type: "PX", value: 60_000 }), "w");
  assert.equal(await client.getDel("k"), "w");
  const buffers = client.withTypeMapping({ [RESP_TYPES.BLOB_STRING]: Buffer });
  await buffers.set("binary", binary);
  assert.deepEqual(await buffers.get("binary"), binary);
  await assert.rejects(client.incr("binary"), /not an integer/);
  assert.equal(await client.type("binary"), "string");
  assert.equal(await client.copy("binary", "copy"), 1);
  await client.set("brief", "v", { expiration: { type: "PX", value: 20 } });
  await eventually("a key to expire", async () => (await client.exists("brief")) === 0);
}

async function manyAtOnce(client) {
  // Commands of one turn of the event loop go out as one pipeline.
  const replies = await Promise.all(Array.from({ length: 2_000 }, () => client.incr("n")));
  assert.deepEqual(replies, Array.from({ length: 2_000 }, (_, index) => index + 1));
}

async function transactions(client) {
  assert.deepEqual(await client.multi().set("t", "1").incr("t").get("t").exec(), ["OK", 2, "2"]);
  const other = await client.duplicate().connect();
  await client.watch("t");
  await other.set("t", "5");
  await assert.rejects(client.multi().set("t", "6").exec(), WatchError);
  assert.equal(await client.get("t"), "5");
  other.destroy();
}

async function scans(client) {
  await client.mSet(Array.from({ length: 1_000 }, (_, number) => [`user:${number}`, String(number)]));
  const found = new Set();
  for await (const keys of client.scanIterator({ MATCH: "user:*", COUNT: 100 })) keys.forEach((key) => found.add(key));
  assert.equal(found.size, 1_000);
  assert.equal(await client.unlink([...found]), 1_000);
}

async function server(client) {
  assert.equal(await client.clientGetName(), "check");
  assert.equal(await client.ping(), "PONG");
  assert.match(await client.info("server"), /redis_version:7\.4\.0/);
  assert.deepEqual({ ...(await client.configGet("appendfsync")) }, { appendfsync: "everysec" });
  assert.equal((await client.clientInfo()).libName, "node-redis");
  assert.equal((await client.role()).role, "master");
  await client.select(3);
  assert.equal(await client.dbSize(), 0);
}

async function pool() {
  const pool = await createClientPool({ socket: { port } }, { minimum: 2, maximum: 8 }).connect();
  await Promise.all(Array.from({ length: 500 }, () => pool.incr("pooled")));
  assert.equal(await pool.get("pooled"), "500");
  await pool.flushAll();
  pool.destroy();
}

async function reconnects() {
  await withClient({}, async (client) => {
    await client.set("kept", "yes");
    const again = new Promise((resolve) => client.once("reconnecting", () => client.once("ready", resolve)));
    await restart();
    await again;
    assert.equal(await client.get("kept"), "yes");
  });
}

const checks = {};
for (const RESP of [2, 3]) {
  for (const check of [values, manyAtOnce, transactions, scans, server]) {
    checks[`${check.name}, RESP${RESP}`] = () => withClient({ RESP }, check);
  }
}
run({ ...checks, pool, reconnects });
