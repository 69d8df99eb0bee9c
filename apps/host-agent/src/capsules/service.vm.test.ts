import { appendFile, mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "@wrenn/contracts";
import { makeLogger } from "@wrenn/daemon";
import { afterEach, beforeEach, describe, expect, inject, test } from "vitest";
import { runInGuest } from "../guest/run-in-guest.ts";
import { Journal } from "../journal/journal.ts";
import { type Layout, layoutOf, makeDirectories } from "../layout.ts";
import { AgentMetrics } from "../metrics/metrics.ts";
import { endProcess, isRunning } from "../processes/identity.ts";
import { ChangeLog } from "../reports/change-log.ts";
import { openStores } from "../snapshots/open-stores.ts";
import { TemplateStore } from "../templates/template-store.ts";
import { SimulatedDriver } from "../vmm/simulated/simulated-driver.ts";
import type { CapsuleRequest } from "./capsule.ts";
import { heldBy } from "./held.ts";
import type { HostParts } from "./host-parts.ts";
import { reapOrphans } from "./reap.ts";
import { recoverCapsules } from "./recover.ts";
import { CapsuleService } from "./service.ts";

let stack: AsyncDisposableStack;
let layout: Layout;
let parts: Omit<HostParts, "layers" | "snapshots">;
let capsules: CapsuleService;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  const root = await mkdtemp(join(tmpdir(), "wrenn-capsules-"));
  stack.defer(() => rm(root, { recursive: true, force: true }));
  layout = layoutOf(root);
  await makeDirectories(layout);
  for (const name of ["kernels", "images"]) await symlink(join(inject("imagesDir"), name), join(root, name));

  const logger = makeLogger("capsules", "silent");
  parts = {
    ...{ layout, logger, slots: undefined, signal: new AbortController().signal },
    vmm: new SimulatedDriver(inject("envdBinary")),
    journal: new Journal(layout.journal, logger),
    changes: new ChangeLog(1),
    metrics: new AgentMetrics(),
  };
  capsules = await open();
  stack.defer(() => capsules.drain());
});
afterEach(() => stack.disposeAsync());

/** A service as an agent starts it: with what an earlier life of it left. */
async function open(): Promise<CapsuleService> {
  const contents = await parts.journal.load();
  const templates = new TemplateStore(layout.images);
  const stores = await openStores({ ...parts, templates }, heldBy(contents), stack);
  const all = { ...parts, ...stores };
  return new CapsuleService(all, await recoverCapsules(contents, all));
}

/** The agent ends and starts again. */
async function restart(): Promise<void> {
  await capsules[Symbol.asyncDispose]();
  parts = { ...parts, changes: new ChangeLog(parts.changes.epoch + 1) };
  capsules = await open();
}

function request(changes: Partial<CapsuleRequest> = {}): CapsuleRequest {
  const size = { vcpus: 1, memoryMib: 256 };
  return {
    id: newId("capsule"),
    operation: newId("operation"),
    generation: 1,
    template: "minimal",
    size,
    ...changes,
  };
}

describe("create", () => {
  test("asked twice at once, makes one capsule and answers it twice", async () => {
    const asked = request();
    const [one, two] = await Promise.all([capsules.create(asked), capsules.create(asked)]);
    expect(one).toBe(two);
    expect(await capsules.create(asked)).toBe(one);
    expect(await readdir(layout.machines)).toEqual([asked.id]);
  });

  test("boots a template once, however many ask for it at once", async () => {
    await Promise.all(Array.from({ length: 4 }, () => capsules.create(request())));
    expect(await readdir(layout.snapshots)).toHaveLength(1);
    expect(capsules.list().map(({ state }) => state)).toEqual(Array(4).fill("running"));
  });

  test("of another generation is refused while the capsule is there", async () => {
    const asked = request({ generation: 2 });
    await capsules.create(asked);
    for (const generation of [1, 3]) {
      const again = capsules.create({ ...asked, generation });
      await expect(again).rejects.toMatchObject({ code: "conflict", field: "generation" });
    }
  });

  test("refuses an id that is none before it touches the disk", async () => {
    for (const id of ["", "../../etc", newId("team")]) {
      await expect(capsules.create(request({ id }))).rejects.toMatchObject({ code: "invalid_request" });
    }
    expect(await readdir(layout.machines)).toEqual([]);
  });
});

describe("destroy", () => {
  test("of an unknown capsule is done already", async () => {
    await capsules.destroy(newId("capsule"), "op", 1);
  });

  test("with an older generation is refused, with a newer one obeyed", async () => {
    const asked = request({ generation: 2 });
    await capsules.create(asked);
    await expect(capsules.destroy(asked.id, "op", 1)).rejects.toMatchObject({ code: "conflict" });
    await capsules.destroy(asked.id, "op", 3);
    expect(capsules.list()).toEqual([]);
    expect(await readdir(layout.machines)).toEqual([]);
  });

  test("while the capsule starts ends the start, and leaves nothing", async () => {
    const asked = request();
    const creating = capsules.create(asked);
    const refused = expect(creating).rejects.toMatchObject({ code: "conflict" });
    await Promise.all([refused, capsules.destroy(asked.id, "op", 1)]);
    expect(capsules.list()).toEqual([]);
    expect(await readdir(layout.machines)).toEqual([]);
  });
});

test("a machine that ends by itself leaves a capsule in error, its resources released", async () => {
  const capsule = await capsules.create(request());
  const revision = capsule.revision;
  process.kill(capsule.machine?.process.pid ?? 0, "SIGKILL");
  await capsule.machine?.exited;
  await expect.poll(() => readdir(layout.machines)).toEqual([]);
  expect(capsule).toMatchObject({ state: "error", reason: "vmm_exited" });
  expect(capsule.revision).toBeGreaterThan(revision);
  expect(() => capsule.guest).toThrow(expect.objectContaining({ code: "invalid_state" }));
});

test("a destroy that meets the end of the machine waits for what that lets go of, and leaves nothing", async () => {
  for (let i = 0; i < 10; i++) {
    const capsule = await capsules.create(request());
    const { id } = capsule.request;
    process.kill(capsule.machine?.process.pid ?? 0, "SIGKILL");
    await capsule.machine?.exited;
    await capsules.destroy(id, "op", 1);
    expect(await leftovers()).toEqual([]);
  }
});

describe("a restart of the agent", () => {
  test("leaves capsules running, and serves them again", async () => {
    const asked = request();
    const before = await capsules.create(asked);
    const pid = before.machine?.process.pid;

    await restart();

    const after = capsules.get(asked.id);
    expect(after).toMatchObject({ state: "running", revision: before.revision, versions: before.versions });
    expect(after.machine?.process.pid).toBe(pid);
    expect(await runInGuest(after.guest, "echo", ["still here"], parts.signal)).toBe("still here\n");
    expect(parts.changes.all()).toMatchObject([{ id: asked.id, state: "running" }]);
    await capsules.destroy(asked.id, "op", 1);
    expect(await leftovers()).toEqual([]);
  });

  test("notices a machine that ended before and one that ends after", async () => {
    const [one, two] = [await capsules.create(request()), await capsules.create(request())];
    await restart();
    const [first, second] = [capsules.get(one.request.id), capsules.get(two.request.id)];
    process.kill(first.machine?.process.pid ?? 0, "SIGKILL");
    await first.machine?.exited;
    await expect.poll(() => first.state).toBe("error");
    const ending = second.machine?.process;
    await capsules[Symbol.asyncDispose]();
    if (ending) await endProcess(ending);
    await restart();
    expect(capsules.list().map(({ state, reason }) => [state, reason])).toEqual([
      ["error", "vmm_exited"],
      ["error", "vmm_exited"],
    ]);
    expect(await readdir(layout.machines)).toEqual([]);
  });
});

describe("a journal", () => {
  test("of a newer agent ends the start, and nothing is touched", async () => {
    const { request: asked } = await capsules.create(request());
    await capsules[Symbol.asyncDispose]();
    const path = join(layout.journal, `${asked.id}.journal`);
    const text = await readFile(path, "utf8");
    await writeFile(path, text.replace('"version":1', '"version":2'));
    await expect(open()).rejects.toMatchObject({ code: "journal_unreadable" });
    await writeFile(path, text);
    capsules = await open();
    expect(capsules.get(asked.id).state).toBe("running");
  });

  test("that is cut within its last line is read without it", async () => {
    const { request: asked } = await capsules.create(request());
    await capsules[Symbol.asyncDispose]();
    await appendFile(join(layout.journal, `${asked.id}.journal`), '{"step":"destroy","oper');
    capsules = await open();
    expect(capsules.get(asked.id).state).toBe("running");
    await restart();
    expect(capsules.get(asked.id).state).toBe("running");
  });

  test.each([
    ["cut to nothing", () => ""],
    ["cut in its header", (text: string) => text.slice(0, 10)],
    ["overwritten in its middle", (text: string) => text.replace('"step":"disk"', '"step":"d\0\0\0"')],
  ])("that is %s takes nothing away: its capsule can be destroyed, and only that", async (_name, damage) => {
    const created = await capsules.create(request());
    const identity = created.machine?.process;
    if (!identity) throw new Error("the capsule has no machine");
    const { id } = created.request;
    await capsules[Symbol.asyncDispose]();
    const path = join(layout.journal, `${id}.journal`);
    await writeFile(path, damage(await readFile(path, "utf8")));

    capsules = await open();
    await reapOrphans(layout, await parts.journal.load(), parts.logger);

    const capsule = capsules.get(id);
    expect(capsule).toMatchObject({ state: "error", reason: "journal_unreadable" });
    expect(() => capsule.guest).toThrow(expect.objectContaining({ code: "invalid_state" }));
    expect(await isRunning(identity)).toBe(true);
    await capsules.destroy(id, "op", 1);
    expect(await isRunning(identity)).toBe(false);
    await reapOrphans(layout, await parts.journal.load(), parts.logger);
    await restart();
    expect(await leftovers()).toEqual([]);
  });
});

/** Everything of capsules that is on disk. */
async function leftovers(): Promise<string[]> {
  const boot = await readdir(layout.snapshots);
  const names = [layout.machines, layout.journal, layout.layers].map((dir) => readdir(dir));
  // The boot snapshot stands on a layer of its own.
  return (await Promise.all(names)).flat().slice(0, boot.length > 0 ? -1 : undefined);
}
