import { randomBytes } from "node:crypto";
import type { FilesystemEvent } from "e2b";
import { expect, test } from "vitest";
import { eachSdk, type Sandbox } from "./support/e2b.ts";
import { eachTarget } from "./support/targets.ts";

/** Events of a directory of its own, as they come. */
class Watched {
  readonly dir = `/tmp/watched-${randomBytes(6).toString("hex")}`;
  readonly events: FilesystemEvent[] = [];
  #check = (): void => {};

  readonly onEvent = (event: FilesystemEvent): void => {
    this.events.push(event);
    this.#check();
  };

  /** Waits for an event; `pattern` is its type and name. */
  async sees(pattern: string): Promise<FilesystemEvent> {
    const { promise, resolve } = Promise.withResolvers<FilesystemEvent>();
    this.#check = () => {
      const found = this.events.find(({ type, name }) => `${type} ${name}` === pattern);
      if (found) resolve(found);
    };
    this.#check();
    return await promise;
  }
}

async function watch(sandbox: Sandbox, options: object = {}): Promise<Watched & { stop(): Promise<void> }> {
  const watched = new Watched();
  await sandbox.files.makeDir(watched.dir);
  const handle = await sandbox.files.watchDir(watched.dir, watched.onEvent, { timeoutMs: 0, ...options });
  return Object.assign(watched, { stop: () => handle.stop() });
}

eachTarget((guest) => {
  eachSdk(guest, (sandbox, sdk) => {
    test("what happens in a directory is told, by names relative to it", async () => {
      const watched = await watch(sandbox());
      const { files, commands } = sandbox();
      await commands.run(`cd ${watched.dir}; echo x >a; chmod 600 a; mv a b; rm b`, { user: "root" });
      for (const pattern of ["create a", "write a", "chmod a", "rename a", "create b", "remove b"])
        await watched.sees(pattern);
      await files.makeDir(`${watched.dir}/sub`);
      await watched.sees("create sub");
      await files.write(`${watched.dir}/sub/deep`, "x");
      await files.write(`${watched.dir}/last`, "x");
      await watched.sees("create last");
      expect(watched.events.filter(({ name }) => name.includes("deep"))).toEqual([]);
      await watched.stop();
    });

    test("recursively, with what is new, and the entry of each", async () => {
      const watched = await watch(sandbox(), { recursive: true, includeEntry: true });
      await sandbox().commands.run(`mkdir -p ${watched.dir}/x/y && echo 123 >${watched.dir}/x/y/file`);
      const event = await watched.sees("write x/y/file");
      expect(event.entry).toMatchObject({ path: `${watched.dir}/x/y/file`, type: "file", name: "file" });
      await sandbox().commands.run(`echo 1234 >>${watched.dir}/x/y/file; touch ${watched.dir}/x/y/end`);
      await watched.sees("create x/y/end");
      await watched.stop();
    });

    test("what cannot be watched is refused", async () => {
      const { files } = sandbox();
      await expect(files.watchDir("/no/such", () => {})).rejects.toThrow(sdk.NotFoundError);
      await expect(files.watchDir("/etc/passwd", () => {})).rejects.toThrow(sdk.InvalidArgumentError);
    });

    test("a watch that has had its time ends, and says so", async () => {
      const { promise: ended, resolve } = Promise.withResolvers<Error | undefined>();
      await watch(sandbox(), { timeoutMs: 300, onExit: resolve });
      expect(await ended).toBeInstanceOf(sdk.TimeoutError);
    });
  });
});
