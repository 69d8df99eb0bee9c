import { type ChildProcess, execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { type IncomingMessage, request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";

/**
 * The bare mechanism: QEMU and the guest agent driven directly, without any code of the platform. It restores the
 * same snapshot that creates restore.
 */
const namespace = "wrenn-bench";
const guest = "http://10.11.255.253:49983";

interface Snapshot {
  readonly dir: string;
  readonly vcpus: number;
  readonly memoryMib: number;
  readonly layers: readonly { path: string; format: string }[];
}

/** The boot snapshot of a size that a platform has made. */
export function findSnapshot(wrennDir: string, vcpus: number, memoryMib: number): Snapshot {
  for (const name of readdirSync(join(wrennDir, "snapshots"))) {
    const dir = join(wrennDir, "snapshots", name);
    const manifest = JSON.parse(readFileSync(join(dir, "manifest.json"), "utf8"));
    if (manifest.vcpus === vcpus && manifest.memoryMib === memoryMib) {
      return { dir, vcpus, memoryMib, layers: manifest.diskLayers };
    }
  }
  throw new Error(`there is no boot snapshot of ${vcpus} vCPU and ${memoryMib} MiB`);
}

/** A namespace like a slot's, for one raw machine at a time. */
export function openNetwork(stack: DisposableStack): void {
  const ip = (...args: string[]) => execFileSync("ip", args, { stdio: "inherit" });
  ip("netns", "add", namespace);
  stack.defer(() => ip("netns", "delete", namespace));
  ip("link", "add", "wrennbench", "type", "veth", "peer", "name", "eth0", "netns", namespace);
  ip("address", "add", "10.11.255.252/31", "dev", "wrennbench");
  ip("link", "set", "wrennbench", "up");
  const batch = `link set lo up
address add 10.11.255.253/31 dev eth0
link set eth0 up
tuntap add dev tap0 mode tap
link set tap0 address 02:fc:00:00:00:05
address add 169.254.0.22/30 dev tap0
link set tap0 up
neighbour replace 169.254.0.21 lladdr 52:54:00:12:34:56 dev tap0 nud permanent
`;
  const inside = (command: string, args: string[], input?: string) =>
    execFileSync("nsenter", [`--net=/run/netns/${namespace}`, "--", command, ...args], { input });
  inside("ip", ["-batch", "-"], batch);
  inside("sysctl", ["-q", "-w", "net.ipv4.ip_forward=1"]);
  const rules = `table ip bench {
  chain pre { type nat hook prerouting priority dstnat; iifname "eth0" dnat to 169.254.0.21; }
  chain post { type nat hook postrouting priority srcnat; oifname "tap0" snat to 169.254.0.22; }
}`;
  inside("nft", ["-f", "-"], rules);
}

/**
 * Starts QEMU, loads the snapshot, and waits until the guest agent has taken a token and answers.
 *
 * @returns milliseconds from start to answer. The overlay is made before the clock starts.
 */
export async function rawRestore(snapshot: Snapshot): Promise<number> {
  const dir = mkdtempSync(join(tmpdir(), "wrenn-raw-"));
  const overlay = join(dir, "disk.qcow2");
  const top = snapshot.layers.at(-1);
  execFileSync("qemu-img", [
    "create",
    "-q",
    "-f",
    "qcow2",
    "-b",
    `${top?.path}`,
    "-F",
    `${top?.format}`,
    overlay,
  ]);
  const bootToken = readFileSync(join(snapshot.dir, "boot-token"), "utf8");
  const state = openSync(join(snapshot.dir, "device-state"), "r");
  const started = performance.now();
  const child = spawn(
    "nsenter",
    [`--net=/run/netns/${namespace}`, "--", "qemu-system-x86_64", ...qemuArgs(snapshot, overlay)],
    {
      stdio: ["ignore", "inherit", "inherit", state, "pipe"],
    },
  );
  try {
    await loadAndRun(child);
    const headers = { "x-access-token": bootToken, "content-type": "application/json" };
    await askGuest("POST", "/init", headers, JSON.stringify({ accessToken: "0".repeat(64) }));
    await askGuest("GET", "/health", {});
    return performance.now() - started;
  } finally {
    child.kill("SIGKILL");
    await once(child, "exit");
    closeSync(state);
    rmSync(dir, { recursive: true });
  }
}

function qemuArgs({ dir, vcpus, memoryMib, layers }: Snapshot, overlay: string): string[] {
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
  const capabilities = [{ capability: "events", state: true }];
  for (const command of [
    { execute: "qmp_capabilities" },
    { execute: "migrate-set-capabilities", arguments: { capabilities } },
    { execute: "migrate-incoming", arguments: { uri: "fd:3" } },
  ]) {
    socket.write(JSON.stringify(command));
  }
  for await (const line of createInterface({ input: socket })) {
    const message = JSON.parse(line);
    if (message.error) throw new Error(message.error.desc);
    if (message.event !== "MIGRATION" || message.data.status !== "completed") continue;
    socket.write(JSON.stringify({ execute: "cont" }));
    return;
  }
  throw new Error("QEMU ended before it had loaded the snapshot");
}

/** One request on a connection of its own: the next machine has the same address. */
async function askGuest(
  method: string,
  path: string,
  headers: Record<string, string>,
  body?: string,
): Promise<void> {
  const message = request(`${guest}${path}`, { method, headers, agent: false, timeout: 10_000 });
  message.once("timeout", () => message.destroy(new Error("the guest agent does not answer")));
  message.end(body);
  const [response] = (await once(message, "response")) as [IncomingMessage];
  response.resume();
  if (response.statusCode !== 204) throw new Error(`the guest agent answered ${response.statusCode}`);
}
