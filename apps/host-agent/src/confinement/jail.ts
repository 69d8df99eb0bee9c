import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import { type FileHandle, open } from "node:fs/promises";
import type { Readable, Writable } from "node:stream";
import { text } from "node:stream/consumers";
import { errnoOf, WrennError } from "@wrenn/contracts";
import { jailScript } from "./jail-script.ts";

/**
 * What machines see of this host: a mount namespace whose root has programs and libraries, read-only, four devices,
 * a `/proc` that shows a user its own processes, and a directory in which the agent hands them files. All machines of
 * an agent share it: there is nothing in it to share, as each is a user of its own.
 *
 * The agent holds the namespaces by descriptors, so nothing is pinned and nothing is left after a crash. Machines that
 * run hold them too: those of an earlier life stay in the jail of that life.
 */
export class Jail implements AsyncDisposable {
  /** Paths that a child of this process opens to enter: valid as long as the jail is not disposed of. */
  readonly mountNamespace: string;
  readonly ipcNamespace: string;
  readonly #handles: AsyncDisposableStack;

  private constructor(mount: FileHandle, ipc: FileHandle, handles: AsyncDisposableStack) {
    this.mountNamespace = `/proc/${process.pid}/fd/${mount.fd}`;
    this.ipcNamespace = `/proc/${process.pid}/fd/${ipc.fd}`;
    this.#handles = handles;
  }

  /**
   * @param handoverDir absolute path of the one directory of the host's that machines see, with what is in it then.
   * @throws {WrennError} `host_unavailable` when this host lets the agent make no such namespace.
   */
  static async open(handoverDir: string | undefined, signal: AbortSignal): Promise<Jail> {
    await using stack = new AsyncDisposableStack();
    const script = ["/bin/sh", "-euc", jailScript, "jail", handoverDir ?? ""];
    const maker = spawn("unshare", ["--mount", "--ipc", "--", ...script], {
      env: { PATH: process.env.PATH },
      stdio: ["pipe", "pipe", "pipe"],
      signal,
    });
    const stderr = text(maker.stderr);
    const ended = once(maker, "exit");
    // The namespaces are taken while their maker waits for the end of its input.
    stack.defer(async () => {
      maker.stdin.end();
      await ended.catch(() => {});
    });
    await made(maker, ended, stderr);
    await using handles = new AsyncDisposableStack();
    const mount = handles.use(await open(`/proc/${maker.pid}/ns/mnt`, "r"));
    const ipc = handles.use(await open(`/proc/${maker.pid}/ns/ipc`, "r"));
    return new Jail(mount, ipc, handles.move());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#handles.disposeAsync();
  }
}

async function made(
  maker: ChildProcessByStdio<Writable, Readable, Readable>,
  ended: Promise<unknown>,
  stderr: Promise<string>,
): Promise<void> {
  const ready = once(maker.stdout, "data");
  const failed = ended.then(async () => {
    throw jailError((await stderr).trim().slice(-600));
  });
  try {
    await Promise.race([ready, failed]);
  } catch (error) {
    if (errnoOf(error) !== "ENOENT") throw error;
    throw new WrennError("vmm_missing", "unshare is not installed; run `make install`", { cause: error });
  } finally {
    ready.catch(() => {});
    failed.catch(() => {});
  }
}

function jailError(reason: string): WrennError {
  const sentence = `this host lets the agent make no jail for its machines: ${reason || "unshare ended"}`;
  return new WrennError("host_unavailable", `${sentence}; the agent needs CAP_SYS_ADMIN and CAP_MKNOD`);
}
