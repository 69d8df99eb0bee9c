import { mkdir } from "node:fs/promises";
import { join } from "node:path";
import { runCommand } from "@wrenn/daemon";
import { expect, test } from "vitest";
import type { Halt } from "../vmm.ts";
import { Bench, digest, digests, fill, fillBoth, openQemu, openUnwalledQemu, signal } from "./bench.ts";
import { bootedBench } from "./booted.ts";

/** What no simulated machine has: a kernel with processes, and a disk that the host may have no room for. */
const size = { vcpus: 1, memoryMib: 256 };

const at = bootedBench(openQemu, size);

test("a process goes on counting where it was", async () => {
  let guest = await at.bench.restore("counter-0", at.booted, size);
  const count = "echo >&3; read n < /run/numbers; echo $n";
  await guest.sh("mkfifo /run/ticks /run/numbers");
  await guest.sh(
    "(exec 3<>/run/ticks; n=0; while read _ <&3; do n=$((n+1)); echo $n > /run/numbers; done) > /dev/null 2>&1 &",
  );
  const next = async () => Number(await guest.sh(`exec 3<>/run/ticks; ${count}`));
  expect([await next(), await next()]).toEqual([1, 2]);
  for (const cycle of [1, 2]) {
    guest = await at.bench.restore(`counter-${cycle}`, await at.bench.pause(guest), size);
    expect(await next()).toBe(2 + cycle);
  }
});

test("memory and disk of a clone are of one moment, whatever its source was doing", async () => {
  const source = await at.bench.restore("writer", at.booted, size);
  // Each line is on the disk before its number is in memory, and before the next is begun.
  const step = `n=$((n + 1)); echo $n >> ${source.disk}; sync ${source.disk}; echo $n > ${source.memory}`;
  await source.sh(`{ n=0; while [ $n -lt 300 ]; do ${step}; done; } > /dev/null 2>&1 &`);
  for (const name of ["first", "second"]) {
    const clone = await at.bench.restore(`writer-${name}`, await at.bench.snapshot(source), size);
    const acknowledged = Number.parseInt(await clone.sh(`cat ${clone.memory} || true`), 10) || 0;
    const lines = (await clone.sh(clone.readDisk)).trim().split("\n").map(Number);
    expect(lines).toEqual(lines.map((_, i) => i + 1));
    expect(lines.length).toBeGreaterThanOrEqual(acknowledged);
  }
});

test("a guest waits while the host's disk is full, and misses nothing when it is not any more", async () => {
  const dir = join(at.bench.dir, "small");
  await mkdir(dir);
  await runCommand("mount", ["-t", "tmpfs", "-o", "size=8m", "small", dir]);
  at.bench.defer(async () => void (await runCommand("umount", ["-l", dir])));
  const guest = await at.bench.restore("waiting", at.booted, size, { diskPath: join(dir, "disk.qcow2") });
  const { promise: halted, resolve } = Promise.withResolvers<Halt>();
  using _ = guest.machine.onHalt(resolve);
  const filled = fill(guest, guest.disk, 16 * 1024);
  expect(await halted).toBe("host_disk_full");
  expect(guest.machine.halt).toBe("host_disk_full");
  await expect(guest.machine.freeze({}, signal)).rejects.toMatchObject({ code: "host_disk_full" });

  const adopted = await at.bench.adopt(guest);
  expect(adopted.machine.halt).toBe("host_disk_full");
  await runCommand("mount", ["-o", "remount,size=256m", dir]);
  await adopted.machine.goOn();
  expect(await digest(adopted, adopted.disk)).toBe(await filled);
  expect(adopted.machine.halt).toBeUndefined();
});

test("a machine without walls is forked and paused as one behind them", async () => {
  await using own = new AsyncDisposableStack();
  const unwalled = await Bench.open(openUnwalledQemu, own);
  const guest = await unwalled.restore("unwalled", await unwalled.boot(size), size);
  const kept = await fillBoth(guest);
  const clone = await unwalled.restore("unwalled-clone", await unwalled.snapshot(guest), size);
  expect(await digests(clone)).toEqual(kept);
  const second = await unwalled.restore("unwalled-second", await unwalled.snapshot(guest), size);
  expect(await digests(second)).toEqual(kept);
  const resumed = await unwalled.restore("unwalled-resumed", await unwalled.pause(guest), size);
  expect(await digests(resumed)).toEqual(kept);
});
