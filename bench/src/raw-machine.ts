import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";
import { type Identity, RawGuest } from "./raw-guest.ts";
import type { RawNetwork } from "./raw-network.ts";
import type { RawSnapshot } from "./raw-snapshot.ts";

/** A machine without any code of the platform: QEMU and the guest agent driven directly. */
export interface RawMachine extends AsyncDisposable {
  readonly pid: number;
  /** From the start of QEMU to a guest agent that has taken a token and answers. The overlay is made before. */
  readonly startMs: number;
  readonly guest: RawGuest;
}

/** Restores the snapshot that creates restore. */
export async function startRawMachine(
  snapshot: RawSnapshot,
  network: RawNetwork,
  identity: Identity = {},
): Promise<RawMachine> {
  await using stack = new AsyncDisposableStack();
  const dir = mkdtempSync(join(tmpdir(), "wrenn-raw-"));
  stack.defer(() => rmSync(dir, { recursive: true }));
  const overlay = join(dir, "disk.qcow2");
  const top = snapshot.layers.at(-1);
  const backing = ["-b", `${top?.path}`, "-F", `${top?.format}`];
  execFileSync("qemu-img", ["create", "-q", "-f", "qcow2", ...backing, overlay]);
  const state = openSync(join(snapshot.dir, "device-state"), "r");
  stack.defer(() => closeSync(state));

  const started = performance.now();
  const child = spawn(
    "nsenter",
    [`--net=${network.namespacePath}`, "--", "qemu-system-x86_64", ...qemuArgs(snapshot, overlay)],
    { stdio: ["ignore", "inherit", "inherit", state, "pipe"] },
  );
  stack.defer(() => end(child));
  await loadAndRun(child);
  const guest = stack.use(new RawGuest(network.guestUrl, "0".repeat(64)));
  await guest.init(snapshot.bootToken, identity);
  const startMs = performance.now() - started;
  const owned = stack.move();
  return { pid: child.pid ?? 0, startMs, guest, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

/** Restores and throws away. @returns {@link RawMachine.startMs}. */
export async function rawRestore(
  snapshot: RawSnapshot,
  network: RawNetwork,
  identity: Identity = {},
): Promise<number> {
  await using machine = await startRawMachine(snapshot, network, identity);
  return machine.startMs;
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill("SIGKILL");
  await once(child, "exit");
}

function qemuArgs({ dir, vcpus, memoryMib, layers }: RawSnapshot, overlay: string): string[] {
  let backing: object | undefined;
  for (const { path, format } of layers) {
    const file = { driver: "file", filename: path, "read-only": true };
    backing = { driver: format, "read-only": true, discard: "unmap", file, ...(backing ? { backing } : {}) };
  }
  const disk = {
    driver: "qcow2",
    "node-name": "disk",
    discard: "unmap",
    file: { driver: "file", filename: overlay },
    backing,
  };
  const memory = `memory-backend-file,id=ram,size=${memoryMib}M,mem-path=${join(dir, "memory")},share=off`;
  return [
    ...["-nodefaults", "-no-user-config", "-display", "none"],
    ...["-machine", "microvm,x-option-roms=off,memory-backend=ram,suppress-vmdesc=on"],
    ...["-accel", "tcg,thread=multi,tb-size=32", "-cpu", "max", "-smp", String(vcpus), "-m", `${memoryMib}M`],
    ...["-object", memory, "-blockdev", JSON.stringify(disk), "-device", "virtio-blk-device,drive=disk"],
    ...["-netdev", "tap,id=net,ifname=tap0,script=no,downscript=no,vnet_hdr=off"],
    ...["-device", "virtio-net-device,netdev=net,mac=52:54:00:12:34:56"],
    ...["-object", "rng-random,id=rng,filename=/dev/urandom", "-device", "virtio-rng-device,rng=rng"],
    ...["-chardev", "null,id=console", "-serial", "chardev:console"],
    ...["-chardev", "socket,id=monitor,fd=4", "-mon", "chardev=monitor,mode=control"],
    ...["-global", "migration.send-configuration=off", "-incoming", "defer", "-S"],
  ];
}

async function loadAndRun(child: ChildProcess): Promise<void> {
  const socket = child.stdio[4] as Duplex;
  const lines = createInterface({ input: socket });
  // The monitor's connection is cut when its machine is killed; the interface passes that on.
  lines.on("error", () => {});
  socket.on("error", () => {});
  const capabilities = [{ capability: "events", state: true }];
  for (const command of [
    { execute: "qmp_capabilities" },
    { execute: "migrate-set-capabilities", arguments: { capabilities } },
    { execute: "migrate-incoming", arguments: { uri: "fd:3" } },
  ]) {
    socket.write(JSON.stringify(command));
  }
  for await (const line of lines) {
    const message = JSON.parse(line);
    if (message.error) throw new Error(message.error.desc);
    if (message.event !== "MIGRATION" || message.data.status !== "completed") continue;
    socket.write(JSON.stringify({ execute: "cont" }));
    return;
  }
  throw new Error("QEMU ended before it had loaded the snapshot");
}
