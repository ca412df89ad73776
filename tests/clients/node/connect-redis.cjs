// connect-redis, unchanged: the sessions of express-session, by the interface that express calls.

const assert = require("node:assert/strict");
const { createServer } = require("node:http");
const session = require("express-session");
const { createClient } = require("redis");
const { RedisStore } = require("connect-redis");
const { eventually, port, run } = require("./shared.cjs");

// A method that ends by calling back.
const ask = (store, method, ...args) =>
  new Promise((resolve, reject) => store[method](...args, (error, found) => (error ? reject(error) : resolve(found))));

async function withStore(options, use) {
  const client = await createClient({ socket: { port }, RESP: options.RESP }).connect();
  try {
    await use(new RedisStore({ client, ...options }), client);
    await client.flushAll();
  } finally {
    client.destroy();
  }
}

const lasting = (seconds) => ({ cookie: { expires: new Date(Date.now() + seconds * 1000).toISOString() }, user: "grün" });

async function store(store, client) {
  assert.equal(await ask(store, "get", "nothing"), null);
  const value = lasting(100);
  await ask(store, "set", "one", value);
  assert.deepEqual(await ask(store, "get", "one"), value);
  assert.equal(await client.ttl(`${store.prefix}one`), 100);
  await ask(store, "touch", "one", lasting(200));
  assert.equal(await client.ttl(`${store.prefix}one`), 200);
  await ask(store, "set", "default", { cookie: {} });
  assert.equal(await client.ttl(`${store.prefix}default`), 86_400);
  // What has run out already is destroyed.
  await ask(store, "set", "default", lasting(-10));
  assert.equal(await ask(store, "get", "default"), null);
  await ask(store, "destroy", "one");
  assert.equal(await ask(store, "get", "one"), null);
  await ask(store, "set", "brief", lasting(0.3));
  await eventually("the session to expire", async () => (await ask(store, "get", "brief")) === null);
}

async function walks(store, client) {
  await client.set("other", "stays");
  const ids = Array.from({ length: 250 }, (_, number) => `id:${number}`);
  await Promise.all(ids.map((id) => ask(store, "set", id, { ...lasting(100), number: id })));
  assert.equal(await ask(store, "length"), 250);
  assert.deepEqual((await ask(store, "ids")).sort(), [...ids].sort());
  const all = await ask(store, "all");
  assert.equal(all.length, 250);
  assert.ok(all.every((found) => found.id === found.number));
  await ask(store, "clear");
  assert.deepEqual([await ask(store, "length"), await ask(store, "all")], [0, []]);
  await ask(store, "clear");
  assert.equal(await client.get("other"), "stays");
}

// A server of express-session's kind, asked as a browser would.
async function browser(store, client) {
  const handle = session({ store, secret: "s", resave: false, saveUninitialized: false, cookie: { maxAge: 60_000 } });
  const server = createServer((request, response) =>
    handle(request, response, (error) => {
      if (request.url === "/out") return request.session.destroy(() => response.end("out"));
      request.session.views = (request.session.views ?? 0) + 1;
      response.statusCode = error ? 500 : 200;
      response.end(String(request.session.views));
    }),
  );
  await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
  const get = async (path, cookie) => {
    const options = { headers: { connection: "close", ...(cookie && { cookie }) } };
    const response = await fetch(`http://127.0.0.1:${server.address().port}${path}`, options);
    return [await response.text(), response.headers.get("set-cookie")?.split(";")[0]];
  };
  const [first, cookie] = await get("/");
  assert.deepEqual([first, (await get("/", cookie))[0], (await get("/", cookie))[0]], ["1", "2", "3"]);
  assert.equal((await get("/"))[0], "1");
  assert.equal((await client.keys(`${store.prefix}*`)).length, 2);
  await get("/out", cookie);
  assert.equal((await get("/", cookie))[0], "1");
  server.close();
}

const checks = {};
for (const RESP of [2, 3]) {
  for (const check of [store, walks, browser]) {
    checks[`${check.name}, RESP${RESP}`] = () => withStore({ RESP }, check);
  }
}
run({ ...checks, prefix: () => withStore({ prefix: "my app:", scanCount: 10 }, walks) });
