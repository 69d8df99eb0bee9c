import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { runCommand } from "@wrenn/daemon";
import { describe, expect, test } from "vitest";
import { savedParts } from "../frozen.ts";
import { mergeMemory } from "../memory/merge.ts";
import { digest, digests, drivers, fill, fillBoth, signal } from "./bench.ts";
import { bootedBench } from "./booted.ts";

const size = { vcpus: 1, memoryMib: 256 };

describe.each(drivers)("a %s machine that is frozen", (_name, open) => {
  const at = bootedBench(open, size);

  test("loses nothing of memory or disk, three times in a row", async () => {
    let guest = await at.bench.restore("cycle-0", at.booted, size);
    let kept = await fillBoth(guest);
    for (let cycle = 1; cycle <= 3; cycle += 1) {
      guest = await at.bench.restore(`cycle-${cycle}`, await at.bench.pause(guest), size);
      expect(await digests(guest)).toEqual(kept);
      if (cycle === 2) kept = await fillBoth(guest);
    }
  });

  test("keeps zeroes that its guest has written over something else", async () => {
    const guest = await at.bench.restore("full", at.booted, size);
    await fill(guest, guest.memory);
    const second = await at.bench.restore("zeroed", await at.bench.pause(guest), size);
    const zeroes = await second.sh(
      `head -c 64K /dev/zero | dd of=${second.memory} conv=notrunc status=none; sha256sum < ${second.memory}`,
    );
    const third = await at.bench.restore("still-zero", await at.bench.pause(second), size);
    expect(await digest(third, third.memory)).toBe(zeroes);
  });

  test("goes on with its clones, each alone", async () => {
    const source = await at.bench.restore("source", at.booted, size);
    const kept = await fillBoth(source);
    const snapshot = await at.bench.snapshot(source);
    await fillBoth(source);
    const clones = [
      await at.bench.restore("left", snapshot, size),
      await at.bench.restore("right", snapshot, size),
    ];
    for (const clone of clones) expect(await digests(clone)).toEqual(kept);
    const guests = [source, ...clones];
    const own = await Promise.all(guests.map(fillBoth));
    expect(await Promise.all(guests.map(digests))).toEqual(own);
    // What was frozen stays what it was.
    expect(await digests(await at.bench.restore("later", snapshot, size))).toEqual(kept);
  });

  test("can be forked again and again, and its clones too", async () => {
    let guest = await at.bench.restore("tree-0", at.booted, size);
    for (let depth = 1; depth <= 3; depth += 1) {
      const kept = await fillBoth(guest);
      await at.bench.snapshot(guest);
      guest = await at.bench.restore(`tree-${depth}`, await at.bench.snapshot(guest), size);
      expect(await digests(guest)).toEqual(kept);
    }
  });

  test("goes on when the freeze fails, on the layer that it had", async () => {
    const guest = await at.bench.restore("unfrozen", at.booted, size);
    const kept = await fill(guest, guest.memory);
    const layers = guest.machine.ownLayers;
    const nextLayerPath = at.bench.nextLayer(guest);
    const options = { nextLayerPath, maxCopyBytes: 4096 };
    await expect(guest.machine.freeze(options, signal)).rejects.toMatchObject({ code: "host_memory_full" });
    expect(guest.machine.ownLayers).toEqual(layers);
    await expect(stat(nextLayerPath)).rejects.toMatchObject({ code: "ENOENT" });
    expect(await digest(guest, guest.memory)).toBe(kept);
    const next = await at.bench.restore("after-failure", await at.bench.snapshot(guest), size);
    expect(await digest(next, next.memory)).toBe(kept);
  });

  test("goes on when the host's disk has no room for it, and the error says how much there is", async () => {
    const guest = await at.bench.restore("no-room", at.booted, size);
    const kept = await fill(guest, guest.memory);
    const dir = join(at.bench.dir, "no-room-snapshot");
    await mkdir(dir);
    await runCommand("mount", ["-t", "tmpfs", "-o", "size=16k", "small", dir]);
    at.bench.defer(async () => void (await runCommand("umount", [dir])));
    const frozen = await guest.machine.freeze({}, signal);
    await expect(frozen.save({ dir, baseId: "base" }, signal)).rejects.toMatchObject({
      code: "host_disk_full",
      message: expect.stringMatching(/0 MiB free, \d+ MiB are needed/),
    });
    expect(await readdir(dir)).toEqual([]);
    await frozen.thaw();
    expect(await digest(guest, guest.memory)).toBe(kept);
    expect((await at.bench.pause(guest)).diskLayers).toHaveLength(3);
  });

  test("goes on when the freeze is given up", async () => {
    const guest = await at.bench.restore("given-up", at.booted, size);
    const kept = await fill(guest, guest.memory);
    const layers = guest.machine.ownLayers;
    // Wherever in the freeze it comes.
    for (const ms of [0, 1, 2, 5, 10, 20, 50]) {
      const nextLayerPath = at.bench.nextLayer(guest);
      const given = AbortSignal.timeout(ms);
      const frozen = await guest.machine.freeze({ nextLayerPath }, given).catch(() => undefined);
      await frozen?.thaw();
      expect(await digest(guest, guest.memory)).toBe(kept);
      if (!frozen) await expect(stat(nextLayerPath)).rejects.toMatchObject({ code: "ENOENT" });
    }
    expect(guest.machine.ownLayers.slice(0, 1)).toEqual(layers);
    const clone = await at.bench.restore("of-given-up", await at.bench.snapshot(guest), size);
    expect(await digest(clone, clone.memory)).toBe(kept);
  });

  test("goes on when it is not saved after all", async () => {
    const guest = await at.bench.restore("kept", at.booted, size);
    const kept = await fill(guest, guest.memory);
    {
      await using frozen = await guest.machine.freeze({}, signal);
      expect(frozen.dirtyBytes).toBeGreaterThan(0);
      const dir = join(at.bench.dir, "absent");
      await expect(frozen.save({ dir, baseId: "x" }, signal)).rejects.toMatchObject({ code: "ENOENT" });
    }
    expect(await digest(guest, guest.memory)).toBe(kept);
  });

  test("has as much to save as its guest has changed, not as much as it has", async () => {
    const guest = await at.bench.restore("dirty", at.booted, size);
    const before = await guest.machine.dirtyBytes();
    await fill(guest, guest.memory);
    const after = await guest.machine.dirtyBytes();
    expect(after - before).toBeGreaterThanOrEqual(64 * 1024);
    expect(after).toBeLessThan((size.memoryMib * 1024 * 1024) / 4);
    await using frozen = await guest.machine.freeze({}, signal);
    expect(frozen.dirtyBytes).toBeGreaterThanOrEqual(after);
  });

  test("stands still meanwhile, and says for how long it did", async () => {
    const guest = await at.bench.restore("still", at.booted, size);
    const frozen = await guest.machine.freeze({}, signal);
    const answer = guest.sh("echo here");
    const first = await Promise.race([answer, new Promise((resolve) => setTimeout(resolve, 200, "nothing"))]);
    expect(first).toBe("nothing");
    expect(await frozen.thaw()).toBeGreaterThanOrEqual(200);
    expect(await answer).toBe("here\n");
  });

  test("is frozen as well by an agent that took it over", async () => {
    const guest = await at.bench.restore("adopted", at.booted, size);
    const kept = await fill(guest, guest.memory);
    await at.bench.snapshot(guest);
    const adopted = await at.bench.adopt(guest);
    expect(adopted.machine.ownLayers).toEqual(guest.machine.ownLayers);
    const onDisk = await fill(adopted, adopted.disk);
    const clone = await at.bench.restore("of-adopted", await at.bench.snapshot(adopted), size);
    expect(await digests(clone)).toEqual([kept, onDisk]);
  });

  test("goes on when the agent ended while it froze it", async () => {
    const guest = await at.bench.restore("interrupted", at.booted, size);
    const kept = await fill(guest, guest.memory);
    await guest.machine.freeze({ nextLayerPath: at.bench.nextLayer(guest) }, signal);
    const adopted = await at.bench.adopt(guest);
    expect(adopted.machine.ownLayers).toEqual(guest.machine.ownLayers);
    expect(adopted.machine.ownLayers).toHaveLength(2);
    const clone = await at.bench.restore("of-interrupted", await at.bench.snapshot(adopted), size);
    expect(await digest(clone, clone.memory)).toBe(kept);
    expect(await digest(adopted, adopted.memory)).toBe(kept);
  });

  test("a snapshot that is damaged is refused, and named", async () => {
    const guest = await at.bench.restore("damaged", at.booted, size);
    await fill(guest, guest.memory);
    const dir = join(at.bench.dir, "damaged-snapshot");
    await mkdir(dir);
    const frozen = await guest.machine.freeze({}, signal);
    await frozen.save({ dir, baseId: "base" }, signal);
    const diffPath = join(dir, savedParts.memoryDiff);
    const whole = await readFile(diffPath);
    const merged = (baseId = "base") => {
      const targetPath = join(dir, "memory");
      return mergeMemory({ basePath: at.booted.memoryPath, baseId, diffPath, targetPath }, signal);
    };
    const corrupt = (reason: RegExp) => ({
      code: "snapshot_corrupt",
      message: expect.stringMatching(new RegExp(`${basename(diffPath)} ${reason.source}`)),
    });
    await writeFile(diffPath, whole.subarray(0, -100));
    await expect(merged()).rejects.toMatchObject(corrupt(/is truncated/));
    const flipped = Buffer.from(whole);
    flipped.writeUInt8(flipped.readUInt8(whole.length - 1000) ^ 1, whole.length - 1000);
    await writeFile(diffPath, flipped);
    await expect(merged()).rejects.toMatchObject(corrupt(/is damaged/));
    await writeFile(diffPath, "WRENN");
    await expect(merged()).rejects.toMatchObject(corrupt(/is truncated/));
    await writeFile(diffPath, whole);
    await expect(merged("another")).rejects.toMatchObject(corrupt(/is a diff of base, not of another/));
    await frozen.thaw();

    const snapshot = await at.bench.pause(guest);
    const state = await readFile(snapshot.deviceStatePath);
    await writeFile(snapshot.deviceStatePath, state.subarray(0, -1));
    await expect(at.bench.restore("truncated", snapshot, size)).rejects.toMatchObject({
      code: "snapshot_corrupt",
      message: expect.stringContaining(join(dirname(snapshot.deviceStatePath), savedParts.deviceState)),
    });
  });
});
