import { writeFile } from "node:fs/promises";
import { describe, expect, test } from "vitest";
import { GuestAgent } from "../../guest/guest-agent.ts";
import { runInGuest } from "../../guest/run-in-guest.ts";
import { Bench, bootToken, drivers, openQemu, signal } from "./bench.ts";
import { bootedBench } from "./booted.ts";

const size = { vcpus: 1, memoryMib: 256 };

test("a QEMU that cannot load a state says why, and its machine does not start", async () => {
  await using stack = new AsyncDisposableStack();
  const bench = await Bench.open(openQemu, stack);
  const snapshot = await bench.boot(size);
  await writeFile(snapshot.deviceStatePath, "no state");
  await expect(bench.restore("broken", snapshot, size)).rejects.toMatchObject({
    code: "agent_error",
    message: expect.stringMatching(/while it loaded a snapshot: \S/),
  });
});

describe.each(drivers)("a %s machine", (_name, open) => {
  const at = bootedBench(open, size);

  test("is restored many times, claimed, worked in, and ended", async () => {
    const guests = [
      await at.bench.restore("one", at.booted, size),
      await at.bench.restore("two", at.booted, size),
    ];
    for (const [i, { agent, machine, sh }] of guests.entries()) {
      await agent.claim({ accessToken: `token-${i}` }, signal);
      expect(await sh(`echo ${i}`)).toBe(`${i}\n`);

      await using stranger = new GuestAgent(machine.guestUrl, bootToken);
      await expect(runInGuest(stranger, "true", [], signal)).rejects.toThrow();
    }
    expect(new Set(guests.map(({ machine }) => machine.process.pid)).size).toBe(2);

    const [first] = guests;
    await first?.machine[Symbol.asyncDispose]();
    expect(await first?.machine.exited).toMatchObject({ signal: "SIGKILL" });
    await first?.machine[Symbol.asyncDispose]();
  });

  test("reports its end when nobody ended it", async () => {
    const { machine } = await at.bench.restore("victim", at.booted, size);
    process.kill(machine.process.pid, "SIGKILL");
    expect(await machine.exited).toMatchObject({ code: null, signal: "SIGKILL" });
  });

  test("runs on when its agent lets go of it, and is taken over", async () => {
    const kept = await at.bench.restore("kept", at.booted, size);
    const spec = at.bench.adoptSpec("kept", kept.machine);
    const { machine, sh } = await at.bench.adopt(kept);
    expect(machine.process).toEqual(kept.machine.process);
    expect(machine.ownLayers).toEqual(kept.machine.ownLayers);
    expect(await sh("echo here")).toBe("here\n");

    process.kill(machine.process.pid, "SIGKILL");
    expect(await machine.exited).toMatchObject({ code: null, signal: null });
    await machine[Symbol.asyncDispose]();
    expect(await at.bench.vmm.adopt(spec, signal)).toBeUndefined();
    const reused = { ...spec.process, pid: process.pid };
    expect(await at.bench.vmm.adopt({ ...spec, process: reused }, signal)).toBeUndefined();
  });

  test("is not started from a snapshot that is not there, and no process is left", async () => {
    const { diskLayers } = at.booted;
    const snapshot = { memoryPath: "/no/memory", deviceStatePath: "/no/state", diskLayers };
    await expect(at.bench.restore("lost", snapshot, size)).rejects.toThrow("/no/");
  });
});
