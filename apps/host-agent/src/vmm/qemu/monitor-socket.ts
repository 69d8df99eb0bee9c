import { once } from "node:events";
import { open, rename } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";

const name = "monitor";

/** A listening Unix socket whose descriptor a process inherits. */
export interface ListeningSocket extends AsyncDisposable {
  readonly fd: number;
}

/**
 * Listens for monitor connections in a run directory, on behalf of a VMM that inherits the descriptor: whoever comes
 * later, this agent or the next one, connects to the path. Dispose of it as soon as the VMM has been spawned, before
 * anybody connects: until then it is this process that would answer.
 */
export async function listenForMonitor(runDir: string): Promise<ListeningSocket> {
  // A socket's path has at most 107 bytes (unix(7)), a directory of ours may have more: so by descriptor.
  await using dir = await open(runDir, "r");
  await using stack = new AsyncDisposableStack();
  const server = createServer();
  stack.defer(() => closed(server));
  server.listen(`/proc/self/fd/${dir.fd}/${name}.new`);
  await once(server, "listening");
  // Node unlinks the path that it bound when it closes. This name it does not know.
  await rename(join(runDir, `${name}.new`), join(runDir, name));
  const owned = stack.move();
  return { fd: descriptorOf(server), [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** One that never listened is closed already. */
function closed(server: Server): Promise<void> {
  return new Promise((resolve) => server.close(() => resolve()));
}

/** Connects to the monitor of the machine that has the run directory. */
export async function connectToMonitor(runDir: string): Promise<Socket> {
  await using dir = await open(runDir, "r");
  const socket = connect(`/proc/self/fd/${dir.fd}/${name}`);
  try {
    await once(socket, "connect");
    return socket;
  } catch (error) {
    socket.destroy();
    throw error;
  }
}

/** Node passes a descriptor number on to a child, but not the server that has it. */
function descriptorOf(server: Server): number {
  const { fd } = (server as unknown as { _handle: { fd: number } })._handle;
  return fd;
}
