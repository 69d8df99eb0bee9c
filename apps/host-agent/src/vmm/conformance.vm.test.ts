import { createHash, randomBytes } from "node:crypto";
import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { makeLogger } from "@wrenn/daemon";
import { describe, expect, inject, test } from "vitest";
import { Walls } from "../confinement/walls.ts";
import { GuestAgent } from "../guest/guest-agent.ts";
import { runInGuest } from "../guest/run-in-guest.ts";
import { waitForGuest } from "../guest/wait-for-guest.ts";
import { HostRules } from "../network/host-rules.ts";
import { findNameserver } from "../network/nameserver.ts";
import { SlotPool } from "../network/slot-pool.ts";
import { SlotRegister } from "../network/slot-register.ts";
import { findKernel } from "../templates/kernel.ts";
import { TemplateStore } from "../templates/template-store.ts";
import { QemuDriver, qemuVersion } from "./qemu/qemu-driver.ts";
import { SimulatedDriver } from "./simulated/simulated-driver.ts";
import type { BootSpec, Machine, MachineSnapshot, MachineSpec, Vmm } from "./vmm.ts";

/**
 * What every driver does alike, the simulated one included. A driver that fails here is not a driver; one that
 * passes may be used by everything above it.
 */
type OpenVmm = (stack: AsyncDisposableStack) => Promise<Vmm>;
const drivers: [string, OpenVmm][] = [
  ["qemu", openQemu],
  ["simulated", async () => new SimulatedDriver(inject("envdBinary"))],
];

async function openQemu(stack: AsyncDisposableStack): Promise<Vmm> {
  return QemuDriver.open({
    version: await qemuVersion(),
    accelerator: "tcg",
    network: "slot",
    confiner: stack.use(await Walls.open("conformance", signal)),
  });
}

const size = { vcpus: 1, memoryMib: 256 };
const { signal } = new AbortController();

/** A driver with what its machines need, all of it gone with the stack. */
class Bench {
  readonly vmm: Vmm;
  readonly #stack: AsyncDisposableStack;
  readonly #dir: string;
  readonly #slots: SlotPool | undefined;

  private constructor(vmm: Vmm, stack: AsyncDisposableStack, dir: string, slots: SlotPool | undefined) {
    this.vmm = vmm;
    this.#stack = stack;
    this.#dir = dir;
    this.#slots = slots;
  }

  static async open(open: OpenVmm, stack: AsyncDisposableStack): Promise<Bench> {
    const vmm = await open(stack);
    const dir = await mkdtemp(join(tmpdir(), "wrenn-vmm-"));
    stack.defer(() => rm(dir, { recursive: true, force: true }));
    if (vmm.network === "none") return new Bench(vmm, stack, dir, undefined);
    const nameserver = await findNameserver();
    const rules = await HostRules.open("conformance", nameserver, [], signal);
    const register = new SlotRegister(dir);
    const logger = makeLogger("conformance", "error");
    const slots = stack.use(SlotPool.open({ register, rules, nameserver, logger }));
    return new Bench(vmm, stack, dir, slots);
  }

  runDir(id: string): string {
    return join(this.#dir, id);
  }

  async spec(id: string): Promise<MachineSpec> {
    const runDir = this.runDir(id);
    await mkdir(runDir);
    const slot = await this.#slots?.acquire(signal);
    if (slot) this.#stack.defer(async () => await this.#slots?.release(slot));
    return { id, runDir, diskPath: join(this.#dir, `${id}.disk`), size, slot };
  }

  /** Boots the template, runs a program in it, and stops it. */
  async snapshot(bootToken: string): Promise<MachineSnapshot> {
    const wrennDir = inject("imagesDir");
    const kernel = await findKernel(join(wrennDir, "kernels"));
    const image = await new TemplateStore(join(wrennDir, "images")).resolve("minimal");
    const spec: BootSpec = {
      ...(await this.spec("boot")),
      ...kernel,
      rootfsPath: image.rootfsPath,
      memoryPath: join(this.#dir, "memory"),
      deviceStatePath: join(this.#dir, "device-state"),
      bootTokenSha256: createHash("sha256").update(bootToken).digest("hex"),
    };
    const machine = this.#stack.use(await this.vmm.boot(spec, signal));
    await using guest = new GuestAgent(machine.guestUrl, bootToken);
    await waitForGuest(guest, machine, 60_000, signal);
    await runInGuest(guest, "true", [], signal);
    await machine.saveAndEnd();
    const emptyLayerPath = join(this.#dir, "empty-layer");
    await this.vmm.makeLayer({ path: spec.diskPath, format: "qcow2" }, emptyLayerPath, signal);
    return {
      emptyLayerPath,
      memoryPath: spec.memoryPath,
      deviceStatePath: spec.deviceStatePath,
      diskLayers: [
        { path: image.rootfsPath, format: "raw" },
        { path: spec.diskPath, format: "qcow2" },
      ],
    };
  }

  async restore(id: string, snapshot: MachineSnapshot): Promise<Machine> {
    const machine = this.#stack.use(await this.vmm.restore({ ...(await this.spec(id)), snapshot }, signal));
    await machine.started;
    return machine;
  }
}

test("a QEMU that cannot load a state says why, and its machine does not start", async () => {
  await using stack = new AsyncDisposableStack();
  const bench = await Bench.open(openQemu, stack);
  const snapshot = await bench.snapshot("t");
  await writeFile(snapshot.deviceStatePath, "no state");
  await expect(bench.restore("broken", snapshot)).rejects.toMatchObject({
    code: "agent_error",
    message: expect.stringMatching(/while it loaded a snapshot: \S/),
  });
});

describe.each(drivers)("a %s machine", (_name, open) => {
  test("is booted once, restored many times, claimed, worked in, and ended", async () => {
    await using stack = new AsyncDisposableStack();
    const bench = await Bench.open(open, stack);
    const bootToken = randomBytes(32).toString("hex");
    const snapshot = await bench.snapshot(bootToken);

    const machines = [await bench.restore("one", snapshot), await bench.restore("two", snapshot)];
    for (const [i, machine] of machines.entries()) {
      const guest = stack.use(new GuestAgent(machine.guestUrl, bootToken));
      await guest.claim({ accessToken: `token-${i}` }, signal);
      expect(await runInGuest(guest, "echo", [`${i}`], signal)).toBe(`${i}\n`);

      await using stranger = new GuestAgent(machine.guestUrl, bootToken);
      await expect(runInGuest(stranger, "true", [], signal)).rejects.toThrow();
    }
    expect(new Set(machines.map(({ process }) => process.pid)).size).toBe(2);

    const [first] = machines;
    await first?.[Symbol.asyncDispose]();
    expect(await first?.exited).toMatchObject({ signal: "SIGKILL" });
    await first?.[Symbol.asyncDispose]();
  });

  test("reports the end of a machine that nobody ended", async () => {
    await using stack = new AsyncDisposableStack();
    const bench = await Bench.open(open, stack);
    const machine = await bench.restore("victim", await bench.snapshot("t"));
    process.kill(machine.process.pid, "SIGKILL");
    expect(await machine.exited).toMatchObject({ code: null, signal: "SIGKILL" });
  });

  test("runs on when its agent lets go of it, and is taken over", async () => {
    await using stack = new AsyncDisposableStack();
    const bench = await Bench.open(open, stack);
    const machine = await bench.restore("kept", await bench.snapshot("t"));
    const { process: identity, guestUrl } = machine;
    const spec = { process: identity, guestUrl, runDir: bench.runDir("kept") };
    machine.detach();

    const adopted = await bench.vmm.adopt(spec, signal);
    expect(adopted?.process).toEqual(identity);
    await using guest = new GuestAgent(guestUrl, "t");
    expect(await runInGuest(guest, "echo", ["here"], signal)).toBe("here\n");

    process.kill(identity.pid, "SIGKILL");
    expect(await adopted?.exited).toMatchObject({ code: null, signal: null });
    await adopted?.[Symbol.asyncDispose]();
    expect(await bench.vmm.adopt(spec, signal)).toBeUndefined();
    const reused = { ...identity, pid: process.pid };
    expect(await bench.vmm.adopt({ ...spec, process: reused }, signal)).toBeUndefined();
  });

  test("refuses a snapshot that is not there, and leaves no process", async () => {
    await using stack = new AsyncDisposableStack();
    const bench = await Bench.open(open, stack);
    const snapshot = {
      memoryPath: "/no/memory",
      deviceStatePath: "/no/state",
      emptyLayerPath: "/no/layer",
      diskLayers: [],
    };
    await expect(bench.restore("lost", snapshot)).rejects.toThrow();
  });
});
