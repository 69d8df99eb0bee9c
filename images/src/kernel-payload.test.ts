import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { gzipSync } from "node:zlib";
import { afterEach, beforeEach, expect, test } from "vitest";
import { extractKernel, kernelPayload } from "./kernel-payload.ts";

let folder: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "wrenn-kernel-"));
});

afterEach(() => rm(folder, { recursive: true }));

/** An ELF header for x86-64 and something for the compressor to do. */
function elf(): Buffer {
  const header = Buffer.alloc(64);
  header.write("\x7fELF", "latin1");
  header.writeUInt16LE(62, 18);
  return Buffer.concat([header, randomBytes(3000), Buffer.alloc(200_000)]);
}

/** A payload as the kernel's build makes it: the legacy LZ4 format and the size without compression. */
function lz4Payload(contents: Buffer): Buffer {
  const size = Buffer.alloc(4);
  size.writeUInt32LE(contents.length);
  return Buffer.concat([execFileSync("lz4", ["-l", "-c", "-q", "-"], { input: contents }), size]);
}

function bzImage(payload: Buffer): Buffer {
  const setupSects = 2;
  const payloadOffset = 100;
  const setup = Buffer.alloc((setupSects + 1) * 512 + payloadOffset);
  setup.writeUInt8(setupSects, 0x1f1);
  setup.writeUInt16LE(0xaa55, 0x1fe);
  setup.write("HdrS", 0x202, "latin1");
  setup.writeUInt16LE(0x20f, 0x206);
  setup.writeUInt32LE(payloadOffset, 0x248);
  setup.writeUInt32LE(payload.length, 0x24c);
  return Buffer.concat([setup, payload, randomBytes(64)]);
}

async function extract(image: Buffer): Promise<Buffer> {
  const path = (name: string) => join(folder, name);
  await writeFile(path("vmlinuz"), image);
  await extractKernel(path("vmlinuz"), path("vmlinux"), path("scratch"));
  return readFile(path("vmlinux"));
}

test("the kernel comes out of a bzImage as it went in", async () => {
  const kernel = elf();
  expect((await extract(bzImage(lz4Payload(kernel)))).equals(kernel)).toBe(true);
});

test("anything but a bzImage is refused", () => {
  for (const image of [Buffer.alloc(0), Buffer.alloc(4096), elf()]) {
    expect(() => kernelPayload(image)).toThrow(/is not a bzImage/);
  }
});

test("another compression is refused in one sentence", () => {
  const image = bzImage(gzipSync(elf()));
  expect(() => kernelPayload(image)).toThrow(
    expect.objectContaining({
      code: "image_missing",
      message: expect.stringMatching(/not compressed with LZ4[^.]*\.$/),
    }),
  );
});

test("a truncated image is refused", () => {
  const image = bzImage(lz4Payload(elf()));
  expect(() => kernelPayload(image.subarray(0, 2000))).toThrow(/is cut off/);
});

test("a payload that is no kernel for x86-64 is refused", async () => {
  await expect(extract(bzImage(lz4Payload(Buffer.alloc(5000))))).rejects.toThrow(/no ELF kernel for x86-64/);
});

test("a payload of another size than it says is refused", async () => {
  const payload = lz4Payload(elf());
  payload.writeUInt32LE(1, payload.length - 4);
  await expect(extract(bzImage(payload))).rejects.toThrow(/damaged payload/);
});
