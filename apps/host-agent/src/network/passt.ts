import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { runCommand } from "@wrenn/daemon";
import { endProcess, identify } from "../processes/identity.ts";
import { gatewayMac, guestAddress, guestAgentPort, guestGateway, guestPrefix } from "./addresses.ts";

/** The socket on which passt waits for its machine, in the machine's run directory. */
export const passtSocket = "passt.sock";

const pidFile = "passt.pid";

/** How often another port is tried: somebody may take one between our choice and its use. */
const attempts = 5;

/**
 * The network of one machine whose agent is not root: an unprivileged process that turns the guest's packets into
 * sockets of this user. It ends with its machine. The guest sees the addresses of every slot.
 * Program: https://passt.top
 */
export interface Passt extends AsyncDisposable {
  /** Port of this host's loopback that leads to the guest agent. */
  readonly port: number;
}

/** Starts passt for a machine that is about to connect. Disposing of it ends one whose machine never did. */
export async function startPasst(runDir: string, signal: AbortSignal): Promise<Passt> {
  for (let attempt = 1; ; attempt++) {
    const port = await freePort();
    try {
      // It goes into the background when it listens, so its end is the sign that it does.
      await runCommand("passt", passtArgs(port), { cwd: runDir, env: { PATH: process.env.PATH }, signal });
      return { port, [Symbol.asyncDispose]: () => endPasst(runDir) };
    } catch (error) {
      if (attempt === attempts || signal.aborted) throw error;
    }
  }
}

function passtArgs(port: number): string[] {
  return [
    // One client, its machine; then it ends.
    ...["--quiet", "--one-off", "--pid", pidFile, "--socket", passtSocket],
    ...["--ipv4-only", "--address", guestAddress, "--netmask", String(guestPrefix)],
    ...["--gateway", guestGateway, "--mac-addr", gatewayMac],
    // Else the gateway's address would be this host's loopback.
    "--no-map-gw",
    ...["--dns-forward", guestGateway, "--no-dhcp"],
    ...["--tcp-ports", `127.0.0.1/${port}:${guestAgentPort}`, "--udp-ports", "none"],
  ];
}

/**
 * Ends the passt of a machine that never connected to it, whichever life of the agent started it. Its number is all that
 * there is of it: so it has to be a passt still.
 */
export async function endPasst(runDir: string): Promise<void> {
  const pid = Number(await readFile(join(runDir, pidFile), "utf8").catch(() => ""));
  if (!pid) return;
  const name = await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "");
  if (!name.startsWith("passt")) return;
  const identity = await identify(pid).catch(() => undefined);
  if (identity) await endProcess(identity);
}

async function freePort(): Promise<number> {
  const server = createServer();
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const address = server.address();
  server.close();
  await once(server, "close");
  if (typeof address !== "object" || !address) throw new RangeError("a TCP server has no port");
  return address.port;
}
