import { makeLogger } from "@wrenn/daemon";
import { startEmbeddedPostgres } from "../index.ts";

/** A process that starts a server, tells its id, and waits to be killed. */
const server = await startEmbeddedPostgres({
  dir: process.argv[2] ?? "",
  logger: makeLogger("supervisor", "silent"),
});
process.stdout.write(`${server.pid}\n`);
setInterval(() => {}, 60_000);
