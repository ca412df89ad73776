// ioredis, unchanged: how it opens connections and gets them back, what it sends together, and what it is told.

const assert = require("node:assert/strict");
const Redis = require("ioredis");
const { eventually, port, run, socket } = require("./shared.cjs");

async function withClients(options, use) {
  const clients = [];
  const open = (more) => {
    const client = new Redis(port, { connectionName: "check", retryStrategy: () => 10, ...options, ...more });
    clients.push(client);
    return client;
  };
  try {
    await use(open(), open);
    await clients[0].flushall();
  } finally {
    clients.forEach((client) => client.disconnect());
  }
}

const once = (emitter, event) => new Promise((resolve) => emitter.once(event, (...args) => resolve(args)));

// The connections of that name and, if given, of that kind are killed; ioredis sees them end and connects anew.
async function kill(control, client, type) {
  const again = new Promise((resolve) => client.once("close", () => client.once("ready", resolve)));
  const list = await control.call("CLIENT", "LIST", ...(type ? ["TYPE", type] : []));
  const ids = list.split("\n").filter((line) => line.includes(" name=victim ")).map((line) => /^id=(\d+)/.exec(line)[1]);
  assert.equal(ids.length, 1);
  assert.equal(await control.client("KILL", "ID", ids[0]), 1);
  await eventually("it to be gone", async () => !(await control.call("CLIENT", "LIST")).includes(`id=${ids[0]} `));
  await again;
}

async function readyCheck(redis, open) {
  const states = [];
  const fresh = open({ lazyConnect: true });
  for (const event of ["connecting", "connect", "ready"]) fresh.on(event, () => states.push(event));
  assert.equal(fresh.status, "wait");
  await fresh.connect();
  assert.deepEqual(states, ["connecting", "connect", "ready"]);
  const info = fresh.serverInfo ?? {};
  if (info.redis_version) assert.equal(info.redis_version, "7.4.0");
  const unchecked = open({ enableReadyCheck: false });
  assert.equal(await unchecked.ping(), "PONG");
}

// What is asked before there is a connection waits for it, in order.
async function offlineQueue(redis, open) {
  const early = open({ lazyConnect: true });
  const replies = Promise.all([early.set("early", 1), early.incr("early"), early.get("early")]);
  assert.deepEqual(await replies, ["OK", 2, "2"]);
  const strict = open({ enableOfflineQueue: false });
  await assert.rejects(strict.get("early"), /enableOfflineQueue/);
  await once(strict, "ready");
  assert.equal(await strict.get("early"), "2");
}

async function autopipelining(redis, open) {
  const auto = open({ enableAutoPipelining: true });
  await auto.ping();
  const replies = await Promise.all([
    ...Array.from({ length: 500 }, () => auto.incr("n")),
    auto.get("n"),
    auto.incr("word").then(() => auto.set("word", "x")).then(() => auto.incr("word")).catch((error) => error.message),
  ]);
  assert.deepEqual(replies.slice(0, 501), [...Array.from({ length: 500 }, (_, index) => index + 1), "500"]);
  assert.equal(replies[501], "ERR value is not an integer or out of range");
}

async function pipelines(redis) {
  const results = await redis.pipeline().set("k", "x").incr("k").call("NOSUCH", "a").get("k").exec();
  assert.deepEqual(results[0], [null, "OK"]);
  assert.equal(results[1][0].message, "ERR value is not an integer or out of range");
  assert.equal(results[2][0].message, "ERR unknown command 'NOSUCH', with args beginning with: 'a' ");
  assert.deepEqual(results[3], [null, "x"]);
  // A transaction that was refused while it was queued.
  await assert.rejects(redis.multi().set("k", "y").call("NOSUCH").exec(), /EXECABORT/);
  assert.equal(await redis.get("k"), "x");
  const mixed = await redis.multi().set("k", "y").incr("k").get("k").exec();
  assert.deepEqual([mixed[0], mixed[1][0].message, mixed[2]], [
    [null, "OK"],
    "ERR value is not an integer or out of range",
    [null, "y"],
  ]);
  await redis.multi({ pipeline: false });
  assert.equal(await redis.set("k", "z"), "QUEUED");
  assert.equal(await redis.get("k"), "QUEUED");
  assert.deepEqual(await redis.exec(), [[null, "OK"], [null, "z"]]);
  await redis.multi({ pipeline: false });
  assert.equal(await redis.discard(), "OK");
}

async function keyPrefixes(redis, open) {
  const app = open({ keyPrefix: "app:" });
  await app.mset({ a: 1, b: 2 });
  await app.rename("a", "c");
  assert.deepEqual((await redis.keys("*")).sort(), ["app:b", "app:c"]);
  assert.deepEqual(await app.mget("b", "c", "a"), ["2", "1", null]);
  assert.deepEqual(await app.pipeline().get("b").del("b", "c").exec(), [[null, "2"], [null, 2]]);
}

async function scanStreams(redis, open) {
  const binary = open({ keyPrefix: "" });
  await redis.mset(Object.fromEntries(Array.from({ length: 2_000 }, (_, number) => [`user:${number}`, number])));
  const found = new Set();
  for await (const keys of redis.scanStream({ match: "user:1*", count: 10, type: "string" })) {
    keys.forEach((key) => found.add(key));
  }
  assert.equal(found.size, 1_111);
  let bytes = 0;
  for await (const keys of binary.scanBufferStream({ match: "user:*" })) keys.forEach((key) => (bytes += key.length));
  assert.ok(bytes >= 2_000 * 6);
}

async function messages(redis, open) {
  const subscriber = open({ connectionName: "victim" });
  const found = [];
  subscriber.on("message", (channel, message) => found.push([channel, message]));
  subscriber.on("pmessage", (pattern, channel, message) => found.push([pattern, channel, message]));
  subscriber.on("smessage", (channel, message) => found.push(["shard", channel, message]));
  const buffers = [];
  subscriber.on("messageBuffer", (channel, message) => buffers.push(message));
  assert.equal(await subscriber.subscribe("news", "weather"), 2);
  assert.equal(await subscriber.psubscribe("n?ws"), 3);
  assert.equal(await subscriber.ssubscribe("orders"), 1);
  const binary = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte));
  assert.equal(await redis.publish("news", "hello"), 2);
  assert.equal(await redis.publish("weather", binary), 1);
  assert.equal(await redis.spublish("orders", "three"), 1);
  await eventually("the messages", () => found.length === 4);
  assert.deepEqual([found[0], found[1], found[3]], [
    ["news", "hello"],
    ["n?ws", "news", "hello"],
    ["shard", "orders", "three"],
  ]);
  assert.deepEqual(buffers[1], binary);
  await subscriber.ping();

  // Killed, it subscribes to all of it again.
  await kill(redis, subscriber, "pubsub");
  await eventually("the subscriptions", async () => {
    const [, news, , weather] = await redis.pubsub("NUMSUB", "news", "weather");
    const [, orders] = await redis.pubsub("SHARDNUMSUB", "orders");
    return news === 1 && weather === 1 && orders === 1 && (await redis.pubsub("NUMPAT")) === 1;
  });
  found.length = 0;
  assert.equal(await redis.publish("news", "again"), 2);
  await eventually("the messages", () => found.length === 2);
  assert.equal(await subscriber.unsubscribe("weather"), 2);
  assert.equal(await subscriber.punsubscribe("n?ws"), 1);
  assert.equal(await subscriber.sunsubscribe("orders"), 0);
  assert.equal(await subscriber.unsubscribe("news"), 0);
  assert.deepEqual(await redis.pubsub("CHANNELS"), []);
}

async function reconnects(redis, open) {
  const victim = open({ connectionName: "victim", db: 3 });
  await victim.set("k", "v");
  for (let round = 0; round < 3; round += 1) {
    await kill(redis, victim);
    assert.equal(await victim.get("k"), "v");
    assert.match(await victim.client("INFO"), / name=victim .* db=3 /);
  }
}

async function accounts(redis, open) {
  await redis.call("ACL", "SETUSER", "reader", "on", ">secret", "~app:*", "+get", "+info");
  // Of its handshake only HELLO and INFO are allowed: what tells the client's name is refused, and does no harm.
  const reader = open({ username: "reader", password: "secret", connectionName: undefined });
  assert.equal(await reader.get("app:1"), null);
  await assert.rejects(reader.get("other"), /NOPERM/);
  await assert.rejects(reader.set("app:1", 1), /NOPERM/);
  const wrong = open({ username: "reader", password: "wrong", retryStrategy: null, connectionName: undefined });
  const refused = once(wrong, "error");
  await assert.rejects(wrong.get("app:1"));
  assert.match((await refused)[0].message, /WRONGPASS/);
  assert.equal(await redis.call("ACL", "DELUSER", "reader"), 1);
}

async function unixSocket(redis) {
  const unix = new Redis(socket, { db: 2 });
  assert.equal(await unix.set("k", "v"), "OK");
  assert.match(await unix.client("INFO"), / flags=U db=2 /);
  unix.disconnect();
}

async function expiryEvents(redis, open) {
  const subscriber = open({ connectionName: "events" });
  await redis.config("SET", "notify-keyspace-events", "Ex");
  const found = [];
  subscriber.on("message", (channel, key) => found.push(key));
  await subscriber.subscribe("__keyevent@0__:expired");
  await redis.set("brief", "v", "PX", 20);
  await eventually("the event", () => found.length === 1);
  assert.deepEqual(found, ["brief"]);
  await redis.config("SET", "notify-keyspace-events", "");
}

async function monitors(redis, open) {
  const watching = open();
  const monitor = await watching.monitor();
  const shown = [];
  monitor.on("monitor", (time, words, source, database) => shown.push([Number(time) > 1e9, words, source, database]));
  await redis.set("k", 'a "quoted" value');
  await assert.rejects(redis.call("AUTH", "nobody", "secret"), /WRONGPASS/);
  await redis.echo("end");
  await eventually("the last line", () => shown.some(([, words]) => words.includes("end")));
  const commands = shown.map(([, words]) => words.join(" "));
  assert.ok(commands.includes('set k a "quoted" value') && commands.includes("AUTH (redacted) (redacted)"), commands.join("\n"));
  assert.ok(shown.every(([time, , source, database]) => time && /^127\.0\.0\.1:\d+$/.test(source) && database === "0"));
  monitor.disconnect();
  await redis.del("k");
}

const each = [
  readyCheck,
  offlineQueue,
  autopipelining,
  pipelines,
  keyPrefixes,
  scanStreams,
  messages,
  reconnects,
  accounts,
  unixSocket,
  expiryEvents,
  monitors,
];
const checks = {};
for (const protocol of [2, 3]) {
  for (const check of each) checks[`${check.name}, RESP${protocol}`] = () => withClients({ protocol }, check);
}
run(checks);
