import { type ChildProcess, spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { builtEnvd } from "../../support/platform-process.ts";
import { Guest } from "./guest.ts";

const port = 49983;
const init = join(import.meta.dirname, "bare-init.sh");
const relay = join(import.meta.dirname, "relay.ts");
/** The whole machine's, of which this one has only a part. */
const withheld = ["sys_time", "sys_boot", "sys_module", "sys_rawio"].map((name) => `-${name}`).join(",");

/**
 * Starts a guest agent in mount, UTS, network, IPC and PID namespaces of its own; it and all that it started end with the
 * stack. With `WRENN_ENVD_BIN` it is that binary, else the one that `make envd` builds.
 *
 * @param options more of the agent's own.
 */
export async function startBare(
  stack: AsyncDisposableStack,
  options: readonly string[] = [],
): Promise<Guest> {
  const root = await mkdtemp(join(tmpdir(), "wrenn-bare-"));
  stack.defer(() => rm(root, { recursive: true }));
  const token = randomBytes(16).toString("hex");
  const digest = createHash("sha256").update(token).digest("hex");
  const binary = process.env.WRENN_ENVD_BIN ?? builtEnvd();
  const asRoot = process.getuid?.() === 0;
  const agent = spawn(
    "setpriv",
    [
      // A worker of the test runner that is killed disposes of nothing.
      ...["--pdeathsig", "KILL", "unshare"],
      ...(asRoot ? [] : ["--user", "--map-root-user"]),
      ...["--mount", "--uts", "--net", "--ipc", "--pid", "--fork", "--kill-child"],
      ...["setpriv", `--bounding-set=${withheld}`, init, root, binary],
      ...["--listen", `127.0.0.1:${port}`, "--token-sha256", digest, ...options],
    ],
    { stdio: ["ignore", "pipe", "pipe"] },
  );
  const exited = once(agent, "exit");
  stack.defer(async () => {
    // When the first process of a PID namespace has ended, so have all others in it.
    const children = await readFile(`/proc/${agent.pid}/task/${agent.pid}/children`, "utf8").catch(() => "");
    if (children) process.kill(Number(children), "SIGKILL");
    await exited;
  });
  let log = "";
  agent.stderr.setEncoding("utf8").on("data", (text: string) => {
    log += text;
  });
  const served = once(createInterface({ input: agent.stdout }), "line");
  const gone = exited.then(([code]) => {
    throw new Error(`the guest agent ended with code ${code} before it served:\n${log}`);
  });
  await Promise.race([served, gone]);
  gone.catch(() => {});
  return stack.use(
    new Guest({
      target: "bare",
      baseUrl: await startRelay(stack, agent, asRoot),
      token,
      shipped: binary === builtEnvd(),
      otherUsers: asRoot,
      log: async () => log,
    }),
  );
}

/** @returns the base URL of the agent as this process reaches it. */
async function startRelay(
  stack: AsyncDisposableStack,
  agent: ChildProcess,
  asRoot: boolean,
): Promise<string> {
  const server = createServer({ allowHalfOpen: true }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const namespaces = ["--net", ...(asRoot ? [] : ["--user", "--preserve-credentials"])];
  const child = spawn(
    "nsenter",
    ["--target", `${agent.pid}`, ...namespaces, process.execPath, relay, `${port}`],
    { stdio: ["ignore", "inherit", "inherit", "ipc"] },
  );
  const exited = once(child, "exit");
  stack.defer(async () => {
    child.disconnect();
    await exited;
  });
  child.send("listener", server);
  const [listening] = await once(child, "message");
  server.close();
  return `http://127.0.0.1:${listening}`;
}
