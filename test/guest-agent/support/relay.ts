import { type AddressInfo, connect, type Server, type Socket } from "node:net";

/**
 * The way into a network namespace. This process runs in it; the listener that it gets from its parent is of the
 * namespace outside, because a socket stays in the one that it was made in. Every connection is carried to the port
 * named on the command line, byte for byte, half-closed where it is half-closed, and as slowly as its reader reads.
 */
const port = Number(process.argv[2]);

function carry(outside: Socket): void {
  const inside = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
  outside.setNoDelay(true);
  for (const [from, to] of [
    [outside, inside],
    [inside, outside],
  ] as const) {
    from.pipe(to);
    from.on("error", () => to.resetAndDestroy());
    from.on("close", () => to.destroySoon());
  }
}

process.once("message", (_message, server: Server) => {
  server.on("connection", carry);
  process.send?.((server.address() as AddressInfo).port);
});
process.once("disconnect", () => process.exit());
