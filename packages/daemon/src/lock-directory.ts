import { stat } from "node:fs/promises";
import { createServer } from "node:net";
import { errnoOf, WrennError } from "@wrenn/contracts";

/**
 * Holds a directory for this process. The lock is the name of an abstract Unix socket (unix(7)): the kernel gives it
 * to one process and takes it back however that process ends, so there is never a stale one.
 *
 * @param purpose tells locks on one directory apart.
 * @throws {WrennError} `conflict` when another process holds the directory.
 */
export async function lockDirectory(dir: string, purpose: string): Promise<AsyncDisposable> {
  const { dev, ino } = await stat(dir);
  const server = createServer((socket) => socket.destroy()).unref();
  const { promise: listening, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject).listen({ path: `\0wrenn-${purpose}-${dev}-${ino}` }, resolve);
  await listening.catch((cause: unknown) => {
    if (errnoOf(cause) !== "EADDRINUSE") throw cause;
    const sentence = `another process uses ${dir}; stop it, or set WRENN_DIR to another directory`;
    throw new WrennError("conflict", sentence, { cause });
  });
  return {
    [Symbol.asyncDispose]: () => new Promise((closed) => server.close(() => closed())),
  };
}
