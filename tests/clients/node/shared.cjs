// What the libraries' checks need. Called with a port and the path of a Unix socket; the checks print RESTART when the
// server is to be started again, and wait for a line.

const readline = require("node:readline");

exports.port = Number(process.argv[2]);
exports.socket = process.argv[3];

exports.restart = async () => {
  const lines = readline.createInterface({ input: process.stdin });
  console.log("RESTART");
  await new Promise((resolve) => lines.once("line", resolve));
  lines.close();
};

exports.eventually = async (what, condition) => {
  const deadline = Date.now() + 20_000;
  while (!(await condition())) {
    if (Date.now() > deadline) throw new Error(`waited for ${what}`);
    await new Promise((resolve) => setImmediate(resolve));
  }
};

exports.run = async (checks) => {
  for (const [name, check] of Object.entries(checks)) {
    await check();
    console.log(name);
  }
  console.log("DONE");
  // A pool of node-redis may forget a connection that it was just making, which would keep the process alive.
  process.exit();
};

process.on("unhandledRejection", (error) => {
  throw error;
});
