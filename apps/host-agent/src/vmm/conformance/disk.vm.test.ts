import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { describe, expect, test } from "vitest";
import type { DiskLayer } from "../vmm.ts";
import { digest, drivers, fill, signal } from "./bench.ts";
import { bootedBench } from "./booted.ts";

const size = { vcpus: 1, memoryMib: 256 };
const gibibyte = 2 ** 30;

describe.each(drivers)("the disk of a %s machine", (_name, open) => {
  const at = bootedBench(open, size);

  test("can be flattened: a short chain holds what the long one did", async () => {
    let guest = await at.bench.restore("deep-0", at.booted, size);
    let snapshot = at.booted;
    for (let depth = 1; depth <= 3; depth += 1) {
      await fill(guest, guest.disk);
      snapshot = await at.bench.pause(guest);
      guest = await at.bench.restore(`deep-${depth}`, snapshot, size);
    }
    const kept = await digest(guest, guest.disk);
    const runDir = join(at.bench.dir, "flatten");
    await mkdir(runDir);
    const path = join(at.bench.dir, "flattened.qcow2");
    const { diskLayers } = snapshot;
    expect(diskLayers).toHaveLength(5);
    await at.bench.vmm.flatten({ id: "flatten", runDir, layers: diskLayers, kept: 2, path }, signal);
    const flat: DiskLayer[] = [...diskLayers.slice(0, 2), { path, format: "qcow2" }];
    const short = await at.bench.restore("flat", { ...snapshot, diskLayers: flat }, size);
    expect(await digest(short, short.disk)).toBe(kept);
    await fill(short, short.disk);
    expect(await digest(guest, guest.disk)).toBe(kept);
  });

  test("can be booted from: the guest starts anew, with what it had written", async () => {
    const guest = await at.bench.restore("ended", at.booted, size);
    const kept = await fill(guest, guest.disk);
    const lost = await fill(guest, guest.memory);
    // As a machine is lost: nothing is saved, and what the guest has not written through is gone.
    const own = guest.machine.ownLayers.map((path) => ({ path, format: "qcow2" as const }));
    await guest.machine[Symbol.asyncDispose]();
    const anew = await at.bench.bootFrom("anew", [...at.booted.diskLayers, ...own], size);
    const again = await at.bench.restore("again", anew, size);
    expect(await digest(again, again.disk)).toBe(kept);
    expect(await digest(again, again.memory)).not.toBe(lost);
    await fill(again, again.disk);
    expect(await digest(await at.bench.restore("beside", anew, size), guest.disk)).toBe(kept);
  });

  test("can be shortened while the machine runs, and is frozen again afterwards", async () => {
    const guest = await at.bench.restore("long", at.booted, size);
    const kept = await fill(guest, guest.disk);
    const [first, second] = [await at.bench.snapshot(guest), await at.bench.snapshot(guest)];
    expect(guest.machine.ownLayers).toHaveLength(3);
    await guest.machine.shortenDisk(signal);
    expect(guest.machine.ownLayers).toHaveLength(1);
    expect(await digest(guest, guest.disk)).toBe(kept);
    const own = await fill(guest, guest.disk);
    const third = await at.bench.snapshot(guest);
    expect(third.diskLayers).toHaveLength(first.diskLayers.length);
    for (const [name, snapshot] of Object.entries({ first, second })) {
      const clone = await at.bench.restore(`long-${name}`, snapshot, size);
      expect(await digest(clone, clone.disk)).toBe(kept);
    }
    const clone = await at.bench.restore("long-third", third, size);
    expect(await digest(clone, clone.disk)).toBe(own);
  });

  test("grows while the machine runs, stays so in its clones, and never shrinks", async () => {
    const guest = await at.bench.restore("grown", at.booted, size);
    const kept = await fill(guest, guest.disk);
    await guest.machine.resizeDisk(5 * gibibyte);
    await expect(guest.machine.resizeDisk(gibibyte)).rejects.toMatchObject({ code: "invalid_request" });
    const clone = await at.bench.restore("grown-clone", await at.bench.snapshot(guest), size);
    await expect(clone.machine.resizeDisk(4 * gibibyte)).rejects.toMatchObject({ code: "invalid_request" });
    await clone.machine.resizeDisk(6 * gibibyte);
    if (at.bench.vmm.name === "simulated") return;
    const sectors = "cat /sys/block/vda/size";
    expect(Number(await guest.sh(sectors)) * 512).toBe(5 * gibibyte);
    expect(Number(await clone.sh(sectors)) * 512).toBe(6 * gibibyte);
    expect(await clone.sh("resize2fs /dev/vda > /dev/null 2>&1; df --output=size -BG / | tail -1")).toMatch(
      /[56]G/,
    );
    expect(await digest(clone, clone.disk)).toBe(kept);
  });
});
