import { appendFile, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { newId } from "@wrenn/contracts";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { runInGuest } from "../guest/run-in-guest.ts";
import { endProcess, isRunning } from "../processes/identity.ts";
import { capsuleRequest, SimulatedHost } from "../testing/simulated-host.ts";

let host: SimulatedHost;

beforeEach(async () => {
  host = await SimulatedHost.open();
});
afterEach(() => host[Symbol.asyncDispose]());

describe("create", () => {
  test("asked twice at once, makes one capsule and answers it twice", async () => {
    const asked = capsuleRequest();
    const [one, two] = await Promise.all([host.capsules.create(asked), host.capsules.create(asked)]);
    expect(one).toBe(two);
    expect(await host.capsules.create(asked)).toBe(one);
    expect(await readdir(host.layout.machines)).toEqual([asked.id]);
  });

  test("boots a template once, however many ask for it at once", async () => {
    await Promise.all(Array.from({ length: 4 }, () => host.capsules.create(capsuleRequest())));
    expect(await readdir(host.layout.snapshots)).toHaveLength(1);
    expect(host.capsules.list().map(({ state }) => state)).toEqual(Array(4).fill("running"));
  });

  test("of another generation is refused while the capsule is there", async () => {
    const asked = capsuleRequest({ generation: 2 });
    await host.capsules.create(asked);
    for (const generation of [1, 3]) {
      const again = host.capsules.create({ ...asked, generation });
      await expect(again).rejects.toMatchObject({ code: "conflict", field: "generation" });
    }
  });

  test("refuses an id that is none before it touches the disk", async () => {
    for (const id of ["", "../../etc", newId("team")]) {
      await expect(host.capsules.create(capsuleRequest({ id }))).rejects.toMatchObject({
        code: "invalid_request",
      });
    }
    expect(await readdir(host.layout.machines)).toEqual([]);
  });
});

describe("destroy", () => {
  test("of an unknown capsule is done already", async () => {
    await host.capsules.destroy({ id: newId("capsule"), operation: "op", generation: 1 });
  });

  test("with an older generation is refused, with a newer one obeyed", async () => {
    const asked = capsuleRequest({ generation: 2 });
    await host.capsules.create(asked);
    await expect(
      host.capsules.destroy({ id: asked.id, operation: "op", generation: 1 }),
    ).rejects.toMatchObject({ code: "conflict" });
    await host.capsules.destroy({ id: asked.id, operation: "op", generation: 3 });
    expect(host.capsules.list()).toEqual([]);
    expect(await readdir(host.layout.machines)).toEqual([]);
  });

  test("while the capsule starts ends the start, and leaves nothing", async () => {
    const asked = capsuleRequest();
    const creating = host.capsules.create(asked);
    const refused = expect(creating).rejects.toMatchObject({ code: "conflict" });
    await Promise.all([refused, host.capsules.destroy({ id: asked.id, operation: "op", generation: 1 })]);
    expect(host.capsules.list()).toEqual([]);
    expect(await readdir(host.layout.machines)).toEqual([]);
  });
});

test("a machine that ends by itself leaves a capsule in error, its resources released", async () => {
  const capsule = await host.capsules.create(capsuleRequest());
  const revision = capsule.revision;
  process.kill(capsule.machine?.process.pid ?? 0, "SIGKILL");
  await capsule.machine?.exited;
  await expect.poll(() => readdir(host.layout.machines)).toEqual([]);
  expect(capsule).toMatchObject({ state: "error", reason: "vmm_exited" });
  expect(capsule.revision).toBeGreaterThan(revision);
  expect(() => capsule.guest).toThrow(expect.objectContaining({ code: "invalid_state" }));
});

test("a destroy that meets the end of the machine waits for what that lets go of, and leaves nothing", async () => {
  for (let i = 0; i < 10; i++) {
    const capsule = await host.capsules.create(capsuleRequest());
    const { id } = capsule;
    process.kill(capsule.machine?.process.pid ?? 0, "SIGKILL");
    await capsule.machine?.exited;
    await host.capsules.destroy({ id, operation: "op", generation: 1 });
    expect(await host.leftovers()).toEqual([]);
  }
});

describe("a restart of the agent", () => {
  test("leaves capsules running, and serves them again", async () => {
    const asked = capsuleRequest();
    const before = await host.capsules.create(asked);
    const pid = before.machine?.process.pid;

    await host.restart();

    const after = host.capsules.get(asked.id);
    expect(after).toMatchObject({ state: "running", revision: before.revision, versions: before.versions });
    expect(after.machine?.process.pid).toBe(pid);
    expect(await runInGuest(after.guest, "echo", ["still here"], host.parts.signal)).toBe("still here\n");
    expect(host.parts.changes.all()).toMatchObject([{ id: asked.id, state: "running" }]);
    await host.capsules.destroy({ id: asked.id, operation: "op", generation: 1 });
    expect(await host.leftovers()).toEqual([]);
  });

  test("notices a machine that ended before and one that ends after", async () => {
    const [one, two] = [
      await host.capsules.create(capsuleRequest()),
      await host.capsules.create(capsuleRequest()),
    ];
    await host.restart();
    const [first, second] = [host.capsules.get(one.id), host.capsules.get(two.id)];
    process.kill(first.machine?.process.pid ?? 0, "SIGKILL");
    await first.machine?.exited;
    await expect.poll(() => first.state).toBe("error");
    const ending = second.machine?.process;
    await host.end();
    if (ending) await endProcess(ending);
    await host.restart();
    expect(host.capsules.list().map(({ state, reason }) => [state, reason])).toEqual([
      ["error", "vmm_exited"],
      ["error", "vmm_exited"],
    ]);
    expect(await readdir(host.layout.machines)).toEqual([]);
  });
});

describe("a journal", () => {
  test("of a newer agent ends the start, and nothing is touched", async () => {
    const asked = await host.capsules.create(capsuleRequest());
    await host.end();
    const path = join(host.layout.journal, `${asked.id}.journal`);
    const text = await readFile(path, "utf8");
    await writeFile(path, text.replace('"version":1', '"version":2'));
    await expect(host.start()).rejects.toMatchObject({ code: "journal_unreadable" });
    await writeFile(path, text);
    await host.start();
    expect(host.capsules.get(asked.id).state).toBe("running");
  });

  test("that is cut within its last line is read without it", async () => {
    const asked = await host.capsules.create(capsuleRequest());
    await host.end();
    await appendFile(join(host.layout.journal, `${asked.id}.journal`), '{"step":"destroy","oper');
    await host.start();
    expect(host.capsules.get(asked.id).state).toBe("running");
    await host.restart();
    expect(host.capsules.get(asked.id).state).toBe("running");
  });

  test.each([
    ["cut to nothing", () => ""],
    ["cut in its header", (text: string) => text.slice(0, 10)],
    ["overwritten in its middle", (text: string) => text.replace('"step":"disk"', '"step":"d\0\0\0"')],
  ])("that is %s takes nothing away: its capsule can be destroyed, and only that", async (_name, damage) => {
    const created = await host.capsules.create(capsuleRequest());
    const identity = created.machine?.process;
    if (!identity) throw new Error("the capsule has no machine");
    const { id } = created;
    await host.end();
    const path = join(host.layout.journal, `${id}.journal`);
    await writeFile(path, damage(await readFile(path, "utf8")));

    await host.start();
    const capsule = host.capsules.get(id);
    expect(capsule).toMatchObject({ state: "error", reason: "journal_unreadable" });
    expect(() => capsule.guest).toThrow(expect.objectContaining({ code: "invalid_state" }));
    expect(await isRunning(identity)).toBe(true);
    await host.capsules.destroy({ id, operation: "op", generation: 1 });
    expect(await isRunning(identity)).toBe(false);
    await host.restart();
    expect(await host.leftovers()).toEqual([]);
  });
});
