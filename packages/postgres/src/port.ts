import { readFile } from "node:fs/promises";
import { createServer } from "node:net";
import { errnoOf } from "@wrenn/contracts";

/** Whether a server can listen on that loopback port. */
export async function isPortFree(port: number): Promise<boolean> {
  return (await tryListen(port)) !== undefined;
}

/**
 * The port to listen on: the one of the last start as long as it is free, so that connection strings stay valid;
 * otherwise a free one of the kernel's choice.
 */
export async function choosePort(portFile: string): Promise<number> {
  const last = await readPort(portFile);
  const chosen = (last && (await tryListen(last))) || (await tryListen(0));
  if (!chosen) throw new Error("the kernel has no free port on 127.0.0.1");
  return chosen;
}

async function readPort(portFile: string): Promise<number | undefined> {
  const text = await readFile(portFile, "utf8").catch(() => "");
  const port = Number(text);
  return Number.isInteger(port) && port > 0 && port <= 65535 ? port : undefined;
}

/** The port listened on for a moment, or undefined when it is taken. */
async function tryListen(port: number): Promise<number | undefined> {
  const server = createServer();
  const { promise: listening, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject).listen({ port, host: "127.0.0.1" }, resolve);
  try {
    await listening;
  } catch (error) {
    if (errnoOf(error) === "EADDRINUSE" || errnoOf(error) === "EACCES") return undefined;
    throw error;
  }
  const address = server.address();
  await new Promise((closed) => server.close(closed));
  return typeof address === "object" ? address?.port : undefined;
}
