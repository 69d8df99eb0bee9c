import { expect, test } from "vitest";
import { commandLine } from "./command-line.ts";

const spec = {
  size: { vcpus: 2, memoryMib: 512 },
  memoryPath: "/s/memory",
  sharedMemory: false,
  diskLayers: [
    { path: "/i/rootfs.ext4", format: "raw" as const },
    { path: "/l/boot.qcow2", format: "qcow2" as const },
    { path: "/l/own.qcow2", format: "qcow2" as const },
  ],
};
const boot = { kernelPath: "/k", initramfsPath: "/i", kernelArgs: "quiet", consolePath: "/c" };

/** The values of an option, in order. */
function valuesOf(args: string[], option: string): string[] {
  return args.flatMap((arg, i) => (args[i - 1] === option ? [arg] : []));
}

test("only the machine's own layer can be written, and no format is probed", () => {
  const [node] = valuesOf(commandLine(spec), "-blockdev").map((text) => JSON.parse(text));
  const layers = [node, node.backing, node.backing.backing];
  expect(layers.map((layer) => [layer.driver, layer.file.filename, layer["read-only"]])).toEqual([
    ["qcow2", "/l/own.qcow2", false],
    ["qcow2", "/l/boot.qcow2", true],
    ["raw", "/i/rootfs.ext4", true],
  ]);
});

test("a boot and its restores have the same devices in the same order", () => {
  const devices = (args: string[]) => valuesOf(args, "-device");
  expect(devices(commandLine({ ...spec, boot }))).toEqual(devices(commandLine(spec)));
});

test("a restored guest cannot write the shared memory image through its mapping", () => {
  const ram = (args: string[]) => JSON.parse(valuesOf(args, "-object")[0] ?? "");
  expect(ram(commandLine(spec)).share).toBe(false);
  expect(ram(commandLine({ ...spec, sharedMemory: true, boot })).share).toBe(true);
});
