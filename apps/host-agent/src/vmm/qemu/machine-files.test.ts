import { chmod, mkdtemp, open, rm, stat, utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import type { BootSpec, RestoreSpec } from "../vmm.ts";
import { memoryFd } from "./command-line.ts";
import { openBootFiles, openRestoreFiles } from "./machine-files.ts";

const made = new Date("2026-01-01T00:00:00Z");

let stack: AsyncDisposableStack;
let dir: string;
let restoreSpec: RestoreSpec;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  dir = await mkdtemp(join(tmpdir(), "wrenn-files-"));
  stack.defer(() => rm(dir, { recursive: true }));
  const path = (name: string) => join(dir, name);
  for (const name of ["memory", "device-state", "rootfs", "disk", "kernel", "initramfs"]) {
    await writeFile(path(name), name);
    await utimes(path(name), made, made);
  }
  restoreSpec = {
    ...{ id: "m", runDir: dir, diskPath: path("disk"), size: { vcpus: 1, memoryMib: 256 }, slot: undefined },
    tokenSha256: "",
    snapshot: {
      memoryPath: path("memory"),
      deviceStatePath: path("device-state"),
      diskLayers: [{ path: path("rootfs"), format: "raw" }],
    },
  };
});
afterEach(() => stack.disposeAsync());

test("a restored machine gets its files in a known order, and may have to write its own disk alone", async () => {
  const { files, disk, largestBytes } = await openRestoreFiles(restoreSpec, 1024, true);
  stack.use(files);
  expect(files.stdio).toHaveLength(5);
  expect(disk).toEqual([
    { fd: memoryFd + 1, format: "raw" },
    { fd: memoryFd + 2, readFd: memoryFd + 3, format: "qcow2" },
  ]);
  expect(largestBytes).toBeLessThan(128 * 1024 * 1024);
});

test("a memory image can be written only where QEMU insists on it", async () => {
  const memoryMode = async () => (await stat(restoreSpec.snapshot.memoryPath)).mode & 0o777;
  stack.use((await openRestoreFiles(restoreSpec, 1024, false)).files);
  expect(await memoryMode()).toBe(0o666);
  stack.use((await openRestoreFiles(restoreSpec, 1024, true)).files);
  expect(await memoryMode()).toBe(0o444);
});

test("a memory image that was changed after it was made is not restored", async () => {
  await using memory = await open(restoreSpec.snapshot.memoryPath, "r+");
  await memory.write("x", 0);
  await memory.sync();
  await expect(openRestoreFiles(restoreSpec, 1024, false)).rejects.toMatchObject({
    code: "image_corrupt",
    message: expect.stringContaining("was changed after it was made"),
  });
});

test("a kernel that the machine's user cannot read is named with the cure", async () => {
  const kernelPath = join(dir, "kernel");
  await chmod(kernelPath, 0o600);
  const spec: BootSpec = {
    ...restoreSpec,
    ...{ kernelPath, initramfsPath: join(dir, "initramfs"), diskLayers: restoreSpec.snapshot.diskLayers },
    ...{ memoryPath: join(dir, "new-memory"), deviceStatePath: join(dir, "new-state"), bootTokenSha256: "" },
  };
  await expect(openBootFiles(spec, 1024, undefined, join(dir, "console"))).rejects.toMatchObject({
    code: "image_corrupt",
    message: expect.stringContaining(`chmod a+r ${kernelPath}`),
  });
});
