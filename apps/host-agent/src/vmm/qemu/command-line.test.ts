import { expect, test } from "vitest";
import { type CommandLineSpec, commandLine, flattenCommandLine } from "./command-line.ts";

const spec: CommandLineSpec = {
  id: "machine",
  accelerator: "tcg",
  size: { vcpus: 2, memoryMib: 512 },
  memory: { access: "private" },
  netdev: "user",
  disk: [
    { fd: 6, format: "raw" },
    { fd: 7, format: "qcow2" },
    { fd: 8, readFd: 9, format: "qcow2" },
  ],
};
const boot = { kernelFd: 10, initramfsFd: 11, kernelArgs: "quiet", consoleFd: 12 };

/** The values of an option, in order. */
function valuesOf(args: string[], option: string): string[] {
  return args.flatMap((arg, i) => (args[i - 1] === option ? [arg] : []));
}

function memoryOf(args: string[]): Record<string, unknown> {
  return JSON.parse(valuesOf(args, "-object")[0] ?? "");
}

test("only the machine's own layer can be written, and no format is probed", () => {
  const [node] = valuesOf(commandLine(spec), "-blockdev").map((text) => JSON.parse(text));
  const layers = [node, node.backing, node.backing.backing];
  expect(layers.map((layer) => [layer.driver, layer.file.filename, layer["read-only"]])).toEqual([
    ["qcow2", "/dev/fdset/8", false],
    ["qcow2", "/dev/fdset/7", true],
    ["raw", "/dev/fdset/6", true],
  ]);
});

test("a boot and its restores have the same devices in the same order", () => {
  const devices = (args: string[]) => valuesOf(args, "-device");
  expect(devices(commandLine({ ...spec, boot }))).toEqual(devices(commandLine(spec)));
});

test("a restored guest cannot write the shared memory image through its mapping", () => {
  expect(memoryOf(commandLine(spec))).toMatchObject({ share: false });
  expect(memoryOf(commandLine({ ...spec, memory: { access: "shared" }, boot })).share).toBe(true);
});

test("a QEMU that can do with less gets a memory image that it cannot write at all", () => {
  const args = commandLine({ ...spec, memory: { access: "private-read-only" } });
  expect(memoryOf(args)).toMatchObject({ share: false, readonly: true, rom: "off" });
});

test.each([
  ["a machine", commandLine({ ...spec, boot })],
  ["a disk alone", flattenCommandLine("flatten", spec.disk)],
])("no path of this host is in the arguments for %s", (_name, args) => {
  const paths = args.flatMap((arg) => arg.match(/\/[\w/.-]+/g) ?? []);
  expect(paths.filter((path) => !/^\/dev\/(fdset\/\d+|urandom)$|^\/proc\/self\/fd\/\d+$/.test(path))).toEqual(
    [],
  );
});
