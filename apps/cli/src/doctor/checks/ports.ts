import { once } from "node:events";
import { createServer } from "node:net";
import { errnoOf, type Finding, WrennError } from "@wrenn/contracts";
import { dialUrl, type ListenAddress, lockDirectory } from "@wrenn/daemon";
import type { CheckContext } from "../check.ts";
import { portHolder } from "../port-holder.ts";

interface PortState {
  readonly free: boolean;
  readonly ours: boolean;
  readonly detail: string;
}

/** Whether both daemons can listen, or do. */
export async function checkPorts({
  config,
  signal,
}: Pick<CheckContext, "config" | "signal">): Promise<Finding> {
  const name = "ports";
  const states = await Promise.all([
    stateOf(config.cpListen, "control plane", () => answersAsControlPlane(config.cpListen, signal)),
    // A bare port means loopback to the agent.
    stateOf({ ...config.hostListen, host: config.hostListen.host || "127.0.0.1" }, "agent", () =>
      isHeldByAgent(config.wrennDir),
    ),
  ]);
  const bad = states.filter(({ free, ours }) => !free && !ours);
  if (bad.length === 0) {
    return { name, status: "ok", detail: states.map(({ detail }) => detail).join(", ") };
  }
  return {
    name,
    status: "failing",
    detail: bad.map(({ detail }) => detail).join("; "),
    cure: "stop what listens there, or set WRENN_CP_LISTEN_ADDR or WRENN_HOST_LISTEN_ADDR to another address",
  };
}

async function stateOf(
  address: ListenAddress,
  daemon: string,
  isOurs: () => Promise<boolean>,
): Promise<PortState> {
  const place = `${address.host || "*"}:${address.port}`;
  const errno = await tryListen(address);
  if (errno === undefined) return { free: true, ours: false, detail: `${place} is free` };
  if (errno !== "EADDRINUSE") {
    const why = errno === "EACCES" ? "needs root" : `is no address of this machine (${errno})`;
    return { free: false, ours: false, detail: `${place} for the ${daemon} ${why}` };
  }
  if (await isOurs()) return { free: false, ours: true, detail: `${place} is our ${daemon}'s` };
  const holder = (await portHolder(address.port)) ?? "another process";
  return { free: false, ours: false, detail: `${place} for the ${daemon} is taken by ${holder}` };
}

/** Listens for a moment. @returns why that is not possible. */
async function tryListen({ host, port }: ListenAddress): Promise<string | undefined> {
  const server = createServer();
  try {
    server.listen({ port, ...(host ? { host } : {}) });
    await once(server, "listening");
    return undefined;
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    return errno;
  } finally {
    server.close();
  }
}

async function answersAsControlPlane(address: ListenAddress, signal: AbortSignal): Promise<boolean> {
  try {
    const response = await fetch(`${dialUrl(address)}/health`, { signal, redirect: "error" });
    const body: unknown = await response.json();
    return typeof body === "object" && body !== null && "status" in body && "version" in body;
  } catch {
    return false; // it speaks something else
  }
}

/** An agent that runs holds its data directory. */
async function isHeldByAgent(wrennDir: string): Promise<boolean> {
  try {
    await using _ = await lockDirectory(wrennDir, "agent");
    return false;
  } catch (error) {
    return error instanceof WrennError;
  }
}
