import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { guestUrl } from "../../support/machines.ts";
import { startInBackground, untilListening } from "./background.ts";
import type { Guest } from "./guest.ts";

/** Address at which this host reaches a capsule. */
export async function addressOf(wrennDir: string, id: string): Promise<string> {
  return new URL(await guestUrl(wrennDir, id)).hostname;
}

/** A connection of this host to a port of a capsule. */
export async function connectTo(
  stack: AsyncDisposableStack,
  wrennDir: string,
  id: string,
  port: number,
): Promise<Socket> {
  const socket = connect(port, await addressOf(wrennDir, id));
  stack.defer(async () => void socket.destroy());
  // What becomes of it is asked of the guest.
  socket.on("error", () => {});
  await once(socket, "connect");
  return socket;
}

/** Everything that comes until the other side ends. */
export async function readAll(socket: Socket): Promise<string> {
  return (await socket.toArray()).join("");
}

/** One line, and what comes back for it. */
export async function exchange(socket: Socket, line: string): Promise<string> {
  socket.write(`${line}\n`);
  const [chunk] = (await once(socket, "data")) as [Buffer];
  return chunk.toString().trim();
}

/** A server on the loopback address, and a client that keeps one connection to it. Ask the client through its pipes. */
export async function startLoopbackPair(guest: Guest): Promise<void> {
  await startInBackground(guest, "socat TCP-LISTEN:5001,bind=127.0.0.1,fork,reuseaddr EXEC:cat");
  await untilListening(guest, 5001);
  await guest.sh("mkfifo /run/pair-ask /run/pair-answer");
  const client = [
    "exec 3<>/dev/tcp/127.0.0.1/5001",
    "while read -r line < /run/pair-ask; do echo $line >&3; read -r line <&3; echo $line > /run/pair-answer; done",
  ];
  await startInBackground(guest, client.join("; "));
}

/** What the client's server says to a word. */
export async function askPair(guest: Guest, word: string): Promise<string> {
  return (await guest.sh(`echo ${word} > /run/pair-ask; cat /run/pair-answer`)).trim();
}

/** How many connections of a port the guest believes to have. */
export async function established(guest: Guest, port: number): Promise<number> {
  return Number(await guest.sh(`ss -Htn state established "sport = :${port}" | wc -l`));
}
