import { Code } from "@connectrpc/connect";
import type { FilesystemEvent } from "@wrenn/contracts/filesystem";
import { expect, test } from "vitest";
import { type Caller, type Guest, jsonWire } from "./support/guest.ts";
import { codeOf } from "./support/refusal.ts";
import { scratchDirectory } from "./support/scratch.ts";
import { eachTarget, eachWire } from "./support/targets.ts";
import { lineOf, type Wanted, Watching } from "./support/watching.ts";

/** Two events for each rename. */
const storm = (renames: number): string =>
  `perl -e 'for (1..${renames / 2}) { rename "a", "b"; rename "b", "a" }'`;

/**
 * More than the kernel queues and the connection holds, together. An emulated capsule renames slowly, but its kernel's
 * queues, unlike those of this machine, are ours to shorten.
 */
async function flood(stack: AsyncDisposableStack, guest: Guest): Promise<string> {
  if (guest.options.target === "bare") return storm(120_000);
  const limit = "/proc/sys/fs/inotify/max_queued_events";
  const usual = await guest.output(`cat ${limit}; echo 1024 >${limit}`, { user: "root" });
  stack.defer(() => guest.output(`echo ${usual.trim()} >${limit}`, { user: "root" }).then(() => {}));
  return storm(12_000);
}

/** A watcher of a client that polls; removed at the end of its scope, if it is still there. */
class Polling implements AsyncDisposable {
  readonly id: string;
  readonly #guest: Guest;

  private constructor(guest: Guest, id: string) {
    this.#guest = guest;
    this.id = id;
  }

  static async start(guest: Guest, path: string, wanted: Wanted = {}, caller: Caller = {}): Promise<Polling> {
    const { watcherId } = await guest.as(caller).filesystem.createWatcher({ path, ...wanted });
    return new Polling(guest, watcherId);
  }

  async poll(caller: Caller = {}): Promise<{ events: FilesystemEvent[]; overflow: boolean }> {
    return await this.#guest.as(caller).filesystem.getWatcherEvents({ watcherId: this.id });
  }

  /** Polls, as such clients do, until an event has been told. @returns all events up to there. */
  async pollFor(line: string, caller: Caller = {}): Promise<FilesystemEvent[]> {
    const events: FilesystemEvent[] = [];
    while (!events.some((event) => lineOf(event) === line)) events.push(...(await this.poll(caller)).events);
    return events;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await codeOf(this.#guest.filesystem.removeWatcher({ watcherId: this.id }));
  }
}

eachTarget((guest) => {
  eachWire((wire) => {
    test("a client that polls is told what happened since it last did", async () => {
      const path = await scratchDirectory(guest());
      await using polling = await Polling.start(
        guest(),
        path,
        { recursive: true, includeEntry: true },
        { wire },
      );
      await guest().output(`cd ${path}; mkdir -p a/b; : >a/b/f; echo x >>a/b/f; : >last`);
      const events = await polling.pollFor("CREATE last", { wire });
      expect(events.map(lineOf)).toEqual(
        expect.arrayContaining(["CREATE a", "CREATE a/b", "CREATE a/b/f", "WRITE a/b/f"]),
      );
      expect(events.find(({ name }) => name === "last")?.entry).toMatchObject({
        path: `${path}/last`,
        size: 0n,
      });
      expect(await polling.poll({ wire })).toMatchObject({ events: [], overflow: false });
      await guest().filesystem.removeWatcher({ watcherId: polling.id });
      expect(await codeOf(polling.poll({ wire }))).toBe(Code.NotFound);
    });
  });

  test("watchers that are not there are not found, and no id tells another", async () => {
    const path = await scratchDirectory(guest());
    const ids = new Set<string>();
    for (let number = 0; number < 10; number += 1) {
      await using polling = await Polling.start(guest(), path);
      expect(polling.id).toMatch(/^w[0-9a-f]{32}$/);
      ids.add(polling.id.slice(0, 8));
    }
    expect(ids.size).toBe(10);
    for (const watcherId of ["", "w0", "w".repeat(100)]) {
      expect(await codeOf(guest().filesystem.getWatcherEvents({ watcherId }))).toBe(Code.NotFound);
      expect(await codeOf(guest().filesystem.removeWatcher({ watcherId }))).toBe(Code.NotFound);
    }
  });

  test("the end of the directory is told after what happened before", async () => {
    const path = await scratchDirectory(guest());
    await using polling = await Polling.start(guest(), path);
    await guest().output(`cd ${path}; : >a; rm a; rmdir ${path}`);
    const events = await polling.pollFor("REMOVE .");
    expect(events.map(lineOf)).toEqual(["CREATE a", "REMOVE a", "REMOVE ."]);
    expect(await codeOf(polling.poll())).toBe(Code.NotFound);
    await guest().filesystem.removeWatcher({ watcherId: polling.id });
  });

  test("a client that polls too seldom is told that it has missed something", async () => {
    const path = await scratchDirectory(guest());
    await using polling = await Polling.start(guest(), path);
    await using plain = await Polling.start(guest(), path);
    await guest().output(`cd ${path}; : >a; ${storm(6_000)}`);
    const { events, overflow } = await polling.poll();
    expect(overflow).toBe(true);
    expect(events.length).toBe(4096);
    // What may have come since then is told, and only once that something was lost.
    await guest().output(`: >${path}/last`);
    expect(lineOf((await polling.pollFor("CREATE last")).at(-1) as FilesystemEvent)).toBe("CREATE last");

    const asOther = { extensions: false, wire: jsonWire };
    expect(await codeOf(plain.poll(asOther))).toBe(Code.DataLoss);
    expect((await plain.poll(asOther)).events.length).toBeGreaterThan(0);
  });

  test("a client that reads too slowly is told that it has missed something, and goes on", async () => {
    await using stack = new AsyncDisposableStack();
    const [path, rush] = [await scratchDirectory(guest()), await flood(stack, guest())];
    await guest().output(`: >${path}/a`);
    const abort = new AbortController();
    const stream = guest().filesystem.watchDir({ path, recursive: true }, { signal: abort.signal });
    const slow = stream[Symbol.asyncIterator]();
    expect((await slow.next()).value?.event.case).toBe("start");
    await guest().output(`cd ${path}; ${rush}; mkdir new; : >new/last`);
    let [overflows, last] = [0, ""];
    while (last !== "CREATE new/after") {
      const { value } = await slow.next();
      if (value?.event.case === "overflow" && overflows++ === 0) await guest().output(`: >${path}/new/after`);
      if (value?.event.case === "filesystem") last = lineOf(value.event.value);
    }
    expect(overflows).toBeGreaterThan(0);
    abort.abort();
  });

  test("a slow client without extensions is not left to believe that it has seen everything", async () => {
    await using stack = new AsyncDisposableStack();
    const [path, rush] = [await scratchDirectory(guest()), await flood(stack, guest())];
    await guest().output(`: >${path}/a`);
    const stream = guest().as({ extensions: false }).filesystem.watchDir({ path });
    const slow = stream[Symbol.asyncIterator]();
    await slow.next();
    await guest().output(`cd ${path}; ${rush}`);
    const drain = async (): Promise<void> => {
      while (!(await slow.next()).done);
    };
    expect(await codeOf(drain())).toBe(Code.DataLoss);
  });

  test("there are so many watchers at a time, and each that goes makes room", async () => {
    const path = await scratchDirectory(guest());
    const fill = async <T extends AsyncDisposable>(limit: number, start: () => Promise<T>): Promise<void> => {
      await using stack = new AsyncDisposableStack();
      for (let number = 0; number < limit; number += 1) stack.use(await start());
      expect(await codeOf(start())).toBe(Code.ResourceExhausted);
    };
    await fill(32, () => Polling.start(guest(), path));
    await fill(64, () => Watching.start(guest(), path));
    const held = `ls -l /proc/$PPID/fd | grep -c inotify || true`;
    await expect.poll(() => guest().output(held, { user: "root" })).toBe("0\n");
  });
});
