// node-redis, unchanged: publish and subscribe, its client-side cache, transactions, pools, its older interface.

const assert = require("node:assert/strict");
const { createClient, createClientPool, BasicClientSideCache, BasicPooledClientSideCache } = require("redis");
const { eventually, port, run, socket } = require("./shared.cjs");

async function withClients(options, use) {
  const clients = [];
  const open = async (more) => {
    const client = createClient({ socket: { port, reconnectStrategy: 10 }, ...options, ...more });
    // The end of a connection that is killed; other errors fail the command they belong to.
    client.on("error", () => {});
    clients.push(client);
    await client.connect();
    return client;
  };
  try {
    await use(await open(), open);
    await clients[0].flushAll();
  } finally {
    clients.forEach((client) => client.destroy());
  }
}

async function kill(control, name) {
  const victims = (await control.clientList()).filter((client) => client.name === name);
  assert.equal(victims.length, 1);
  assert.equal(await control.clientKill({ filter: "ID", id: victims[0].id }), 1);
  const gone = async () => (await control.clientList()).every((client) => client.id !== victims[0].id);
  await eventually("the connection to be gone", gone);
}

async function messages(client, open) {
  const subscriber = await open({ name: "victim" });
  const found = [];
  const note = (message, channel) => found.push([channel, message]);
  await subscriber.subscribe(["news", "weather"], note);
  await subscriber.pSubscribe("n*", note);
  await subscriber.sSubscribe("orders", note);
  assert.equal(await client.publish("news", "hello"), 2);
  assert.equal(await client.publish("weather", "rain"), 1);
  assert.equal(await client.sPublish("orders", "three"), 1);
  await eventually("the messages", () => found.length === 4);
  assert.deepEqual(found, [
    ["news", "hello"],
    ["news", "hello"],
    ["weather", "rain"],
    ["orders", "three"],
  ]);
  const buffers = [];
  await subscriber.subscribe("binary", (message) => buffers.push(message), true);
  const binary = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  await client.publish("binary", binary);
  await eventually("the bytes", () => buffers.length === 1);
  assert.deepEqual(buffers[0], binary);
  assert.deepEqual({ ...(await client.pubSubNumSub(["news", "nobody"])) }, { news: 1, nobody: 0 });
  assert.deepEqual({ ...(await client.pubSubShardNumSub(["orders"])) }, { orders: 1 });
  assert.deepEqual((await client.pubSubChannels()).sort(), ["binary", "news", "weather"]);

  // Killed, it subscribes to all of it again.
  await kill(client, "victim");
  await eventually("the subscriptions", async () => {
    const { news, weather } = await client.pubSubNumSub(["news", "weather"]);
    const { orders } = await client.pubSubShardNumSub(["orders"]);
    return news === 1 && weather === 1 && orders === 1 && (await client.pubSubNumPat()) === 1;
  });
  found.length = 0;
  assert.equal(await client.publish("news", "again"), 2);
  assert.equal(await client.sPublish("orders", "four"), 1);
  await eventually("the messages", () => found.length === 3);
  await subscriber.unsubscribe();
  await subscriber.pUnsubscribe("n*");
  await subscriber.sUnsubscribe("orders");
  assert.deepEqual(await client.pubSubChannels(), []);
  assert.equal(String(await subscriber.ping()), "PONG");
}

async function transactions(client, open) {
  const partial = await client.multi().set("k", "x").incr("k").get("k").exec().catch((failure) => failure);
  const [ok, error, value] = partial.replies;
  assert.deepEqual([ok, error.message, value], ["OK", "ERR value is not an integer or out of range", "x"]);
  await assert.rejects(client.multi().set("k", "y").addCommand(["NOSUCH"]).exec(), /EXECABORT|unknown command/);
  assert.equal(await client.get("k"), "x");
  // Four clients count by WATCH, GET, MULTI, SET.
  await Promise.all(
    Array.from({ length: 4 }, async () => {
      const mine = await open();
      for (let turn = 0; turn < 25; ) {
        await mine.watch("counter");
        const next = Number(await mine.get("counter")) + 1;
        try {
          await mine.multi().set("counter", next).exec();
          turn += 1;
        } catch (failure) {
          assert.equal(failure.constructor.name, "WatchError");
        }
      }
    }),
  );
  assert.equal(await client.get("counter"), "100");
}

async function olderInterface(client) {
  const legacy = client.legacy();
  const call = (name, ...args) =>
    new Promise((resolve, reject) => legacy[name](...args, (error, reply) => (error ? reject(error) : resolve(reply))));
  assert.equal(await call("SET", "k", "v", "EX", 100), "OK");
  assert.equal(await call("GET", "k"), "v");
  assert.deepEqual(await call("MGET", ["k", "nothing"]), ["v", null]);
  await assert.rejects(call("INCR", "k"), /not an integer/);
  const replies = await new Promise((resolve, reject) =>
    legacy.multi().SET("n", 1).INCR("n").exec((error, found) => (error ? reject(error) : resolve(found))),
  );
  assert.deepEqual(replies, ["OK", 2]);
}

async function reconnects(client, open) {
  const victim = await open({ name: "victim", database: 3 });
  await victim.set("k", "v");
  for (let round = 0; round < 3; round += 1) {
    const again = new Promise((resolve) => victim.once("reconnecting", () => victim.once("ready", resolve)));
    await kill(client, "victim");
    await again;
    assert.equal(await victim.get("k"), "v");
    const info = await victim.clientInfo();
    assert.deepEqual([info.name, info.db], ["victim", 3]);
  }
}

async function accounts(client, open) {
  await client.aclSetUser("reader", ["on", ">secret", "~app:*", "+get", "+ping"]);
  const reader = await open({ username: "reader", password: "secret" });
  assert.equal(await reader.get("app:1"), null);
  await assert.rejects(reader.get("other"), /NOPERM/);
  await assert.rejects(reader.set("app:1", "v"), /NOPERM/);
  await assert.rejects(
    open({ username: "reader", password: "wrong", socket: { port, reconnectStrategy: false } }),
    /WRONGPASS/,
  );
  assert.equal(await client.aclWhoAmI(), "default");
  assert.equal(await client.aclDelUser("reader"), 1);
}

async function unixSocket(client, open) {
  const unix = await open({ socket: { path: socket }, database: 2 });
  assert.equal(await unix.set("k", "v"), "OK");
  assert.match((await unix.clientInfo()).flags, /U/);
}

async function iterations(client) {
  await client.mSet(Array.from({ length: 2_000 }, (_, number) => [`user:${number}`, String(number)]));
  const found = new Set();
  for await (const keys of client.scanIterator({ MATCH: "user:1*", COUNT: 10, TYPE: "string" })) {
    keys.forEach((key) => found.add(key));
  }
  assert.equal(found.size, 1_111);
}

async function pools(client) {
  const pool = await createClientPool({ socket: { port } }, { minimum: 2, maximum: 4 }).connect();
  const names = await Promise.all(Array.from({ length: 200 }, () => pool.execute((one) => one.clientId())));
  assert.ok(new Set(names).size <= 4);
  assert.deepEqual(await pool.multi().set("k", 1).incr("k").exec(), ["OK", 2]);
  pool.destroy();
}

async function cache() {
  const cached = new BasicClientSideCache({ ttl: 0, maxEntries: 100, evictPolicy: "LRU", recordStats: true });
  await withClients({ RESP: 3, clientSideCache: cached }, async (client) => {
    const other = await createClient({ socket: { port } }).connect();
    await other.set("k", "one");
    for (let turn = 0; turn < 100; turn += 1) assert.equal(await client.get("k"), "one");
    assert.deepEqual([cached.stats().hitCount, cached.stats().missCount, cached.size()], [99, 1, 1]);
    await other.set("k", "two");
    await eventually("the new value", async () => (await client.get("k")) === "two");
    await client.set("k", "three");
    assert.equal(await client.get("k"), "three");
    await other.del("k");
    await eventually("the key to be gone", async () => (await client.get("k")) === null);

    for (const flush of ["flushDb", "flushAll"]) {
      await other.mSet(Array.from({ length: 50 }, (_, number) => [`k${number}`, String(number)]));
      for (let number = 0; number < 50; number += 1) assert.equal(await client.get(`k${number}`), String(number));
      await other[flush]();
      await eventually("nothing to be there", async () => (await client.get("k0")) === null);
      for (let number = 0; number < 50; number += 1) assert.equal(await client.get(`k${number}`), null);
    }

    // What was kept goes with the connection.
    await other.set("k", "four");
    assert.equal(await client.get("k"), "four");
    const again = new Promise((resolve) => client.once("reconnecting", () => client.once("ready", resolve)));
    await other.clientKill({ filter: "ID", id: await client.clientId() });
    await other.set("k", "five");
    await again;
    assert.equal(await client.get("k"), "five");
    other.destroy();
  });
}

async function pooledCache() {
  const cached = new BasicPooledClientSideCache({ recordStats: true });
  const pool = await createClientPool(
    { socket: { port }, RESP: 3 },
    { minimum: 2, maximum: 4, clientSideCache: cached },
  ).connect();
  const other = await createClient({ socket: { port } }).connect();
  await other.set("k", "one");
  const found = await Promise.all(Array.from({ length: 100 }, () => pool.get("k")));
  assert.deepEqual([...new Set(found)], ["one"]);
  assert.ok(cached.stats().hitCount > 0, JSON.stringify(cached.stats()));
  await other.set("k", "two");
  await eventually("the new value", async () => (await pool.get("k")) === "two");
  await other.flushAll();
  pool.destroy();
  other.destroy();
}

const each = [messages, transactions, olderInterface, reconnects, accounts, unixSocket, iterations, pools];
const checks = {};
for (const RESP of [2, 3]) {
  for (const check of each) checks[`${check.name}, RESP${RESP}`] = () => withClients({ RESP }, check);
}
run({ ...checks, cache, pooledCache });
