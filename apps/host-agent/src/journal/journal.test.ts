import { appendFile, mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "@wrenn/contracts";
import { makeLogger } from "@wrenn/daemon";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import type { Step } from "./entry.ts";
import { Journal } from "./journal.ts";

let dir: string;
let journal: Journal;
const id = newId("capsule");
const path = () => join(dir, `${id}.journal`);

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), "wrenn-journal-"));
  journal = new Journal(dir, makeLogger("journal", "silent"));
});
afterEach(() => rm(dir, { recursive: true }));

const create: Step = {
  step: "create",
  operation: "op",
  generation: 1,
  template: "t",
  vcpus: 1,
  memoryMib: 256,
};
const process = { pid: 7, startTicks: "8", bootId: "b" };
const versions = { imageVersion: "1", kernelVersion: "2", envdVersion: "3", vmm: "4", vmmVersion: "5" };
const running: Step[] = [
  create,
  { step: "run_dir" },
  { step: "disk", path: "/d" },
  { step: "slot", index: 3 },
  { step: "machine" },
  { step: "started", process, guestUrl: "http://g" },
  { step: "claim", accessToken: "secret" },
  { step: "running", revision: 2, startedAt: "2026-01-01T00:00:00.000Z", versions },
];

function write(steps: readonly Step[], capsuleId = id): void {
  for (const step of steps) journal.write(capsuleId, step);
}

describe("what an earlier life of the agent wrote", () => {
  test("is one record, readable by the agent's user alone", async () => {
    write(running);
    const { records, unreadable } = await journal.load();
    expect(unreadable).toEqual([]);
    expect(records).toEqual([
      expect.objectContaining({
        ...{ id, state: "running", generation: 1, revision: 2, operation: "op", runDir: true, machine: true },
        ...{
          ownLayers: ["/d"],
          slotIndex: 3,
          process,
          guestUrl: "http://g",
          accessToken: "secret",
          versions,
        },
      }),
    ]);
    expect((await stat(path())).mode & 0o777).toBe(0o600);
  });

  test("of a capsule that is being let go of names all that may be left, but no slot that may be another's", async () => {
    write([
      ...running,
      { step: "destroy", operation: "op2", generation: 2, revision: 3 },
      { step: "release", holding: "machine" },
    ]);
    expect((await journal.load()).records).toMatchObject([{ machine: true, process, ownLayers: ["/d"] }]);
    write([
      { step: "release", holding: "slot" },
      { step: "release", holding: "disk" },
    ]);
    const [record] = (await journal.load()).records;
    expect(record).toMatchObject({
      state: "stopping",
      generation: 2,
      machine: false,
      runDir: false,
      ownLayers: [],
    });
    expect(record?.slotIndex).toBeUndefined();
  });

  test("gives a slot that two capsules name to the one that runs", async () => {
    const failed = newId("capsule");
    write([...running.slice(0, 5), { step: "failed", revision: 2, reason: "r" }], failed);
    write(running);
    const { records } = await journal.load();
    expect(records.find((record) => record.id === failed)?.slotIndex).toBeUndefined();
    expect(records.find((record) => record.id === id)?.slotIndex).toBe(3);
  });

  test("ends with its last whole line, and goes on from there", async () => {
    write(running.slice(0, 2));
    await appendFile(path(), '{"step":"disk","pa');
    expect((await journal.load()).records).toMatchObject([{ state: "starting", runDir: true }]);
    write([{ step: "disk", path: "/d" }]);
    expect((await journal.load()).records).toMatchObject([{ ownLayers: ["/d"] }]);
  });

  test("that cannot be read as a whole still names what it names, and stays as it is", async () => {
    write(running);
    const text = (await readFile(path(), "utf8")).replace('"step":"create"', '"step":"?"');
    await writeFile(path(), text);
    const { records, unreadable } = await journal.load();
    expect(records).toEqual([]);
    expect(unreadable).toMatchObject([
      { id, state: "error", reason: "journal_unreadable", ownLayers: ["/d"], slotIndex: 3, process },
    ]);
    expect(await readFile(path(), "utf8")).toBe(text);
  });

  test("and is of a newer version ends the start, by name", async () => {
    await writeFile(path(), '{"version":2,"and":"more"}\nwhatever\n');
    await expect(journal.load()).rejects.toMatchObject({
      code: "journal_unreadable",
      message: expect.stringContaining(`${id}.journal`),
    });
  });
});

describe("what a capsule is after", () => {
  const command = { operation: "op", generation: 2 };
  const source: Step = { step: "source", id: "boot-1", diskBytes: 5 };
  const claimed: Step = { step: "claim", accessToken: "secret", restoreEpoch: 2 };
  const runs = [create, source, ...running.slice(1, -2), claimed, ...running.slice(-1)];
  const pause: Step = { step: "pause", ...command, revision: 3, snapshot: "sn1" };
  const paused: Step[] = [pause, { step: "paused", revision: 4, reason: "idle_timeout" }];
  const released: Step[] = (["machine", "run_dir", "slot", "disk", "source"] as const).map((holding) => ({
    step: "release",
    holding,
  }));
  const resume: Step = { step: "resume", ...command, revision: 5, fromDisk: false };
  const restored: Step[] = [
    { step: "source", id: "sn1", diskBytes: 5 },
    { step: "disk", path: "/e" },
    { step: "claim", accessToken: "secret", restoreEpoch: 3 },
  ];
  const record = async (...steps: readonly Step[]) => {
    write(steps);
    return (await journal.load()).records[0];
  };

  test("a pause that was cut off: it holds what it ran on, and names the snapshot that may be there", async () => {
    expect(await record(...runs, pause)).toMatchObject({
      ...{ state: "pausing", generation: 2, revision: 3, snapshot: "sn1", source: "boot-1" },
      ...{ ownLayers: ["/d"], restoreEpoch: 2, accessToken: "secret", diskBytes: 5 },
    });
  });

  test("a pause: its snapshot, its token, and why", async () => {
    expect(await record(...runs, ...paused, ...released)).toMatchObject({
      ...{ state: "paused", revision: 4, snapshot: "sn1", source: undefined, ownLayers: [] },
      ...{ slotIndex: undefined, accessToken: "secret", reason: "idle_timeout" },
    });
  });

  test("a pause that failed: it runs as before, and says why it does", async () => {
    const wentOn: Step = { step: "went_on", revision: 4, reason: "host_disk_full", detail: "3 MiB" };
    expect(await record(...runs, pause, wentOn)).toMatchObject({
      ...{ state: "running", snapshot: undefined, source: "boot-1", ownLayers: ["/d"] },
      ...{ reason: "host_disk_full", detail: "3 MiB" },
    });
  });

  test("a resume: it stands on the snapshot that it was paused to", async () => {
    const runsAgain: Step = { step: "running", revision: 6, startedAt: "2026-01-02T00:00:00.000Z", versions };
    const all = [...runs, ...paused, ...released, resume, ...restored, runsAgain];
    expect(await record(...all, { step: "release", holding: "snapshot" })).toMatchObject({
      ...{ state: "running", source: "sn1", snapshot: undefined, ownLayers: ["/e"], restoreEpoch: 3 },
      ...{
        startedAt: "2026-01-01T00:00:00.000Z",
        runningSince: "2026-01-02T00:00:00.000Z",
        reason: undefined,
      },
    });
  });

  test("a resume that failed: it is paused to what it was, also when what it had is not yet released", async () => {
    const stayed: Step = { step: "stayed", revision: 6, state: "paused" };
    expect(await record(...runs, ...paused, ...released, resume, ...restored, stayed)).toMatchObject({
      ...{ state: "paused", snapshot: "sn1", source: "sn1", ownLayers: ["/e"] },
    });
  });

  test("a snapshot that was cut off: its machine may write either layer", async () => {
    const taking: Step = { step: "snapshot", ...command, revision: 3, snapshot: "sn2" };
    const layer: Step = { step: "disk", path: "/e" };
    expect(await record(...runs, taking, layer)).toMatchObject({
      ...{ state: "snapshotting", taking: "sn2", snapshot: undefined, ownLayers: ["/d", "/e"] },
    });
  });

  test("a journal of an agent that could not pause reads as it did", async () => {
    expect(await record(...running)).toMatchObject({
      state: "running",
      source: undefined,
      archived: undefined,
    });
  });
});

test("what comes late, when a capsule is forgotten, does not begin its journal again", async () => {
  write(running);
  await journal.remove(id);
  journal.writeIfPossible(id, { step: "release", holding: "slot" });
  expect(await readdir(dir)).toEqual([]);
  expect(() => write([{ step: "machine" }])).toThrow("ENOENT");
});

test("each step is told of before and after it is written", () => {
  const seen: string[] = [];
  const logger = makeLogger("journal", "silent");
  const observed = new Journal(dir, logger, (when, capsule, { step }) =>
    seen.push(`${when} ${capsule} ${step}`),
  );
  observed.write(id, create);
  expect(seen).toEqual([`before ${id} create`, `after ${id} create`]);
});
