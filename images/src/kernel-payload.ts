import { open, readFile, stat, writeFile } from "node:fs/promises";
import { WrennError } from "@wrenn/contracts";
import { runCommand } from "./run-command.ts";

// Offsets in the setup header, from the Linux kernel's Documentation/arch/x86/boot.rst.
const setupSectsOffset = 0x1f1;
const bootFlagOffset = 0x1fe;
const headerMagicOffset = 0x202;
const protocolVersionOffset = 0x206;
const payloadOffsetOffset = 0x248;
const payloadLengthOffset = 0x24c;

/** The protocol version that brought the two payload fields. */
const firstVersionWithPayload = 0x0208;
const lz4LegacyMagic = 0x184c2102;
const elfMagic = 0x464c457f;
const elfMachineX86_64 = 62;

/**
 * Writes the uncompressed ELF kernel inside the bzImage file `vmlinuz` to `vmlinux`: QEMU's microvm and Firecracker
 * boot that form. `scratch` is the name of a temporary file. Throws `image_missing` for anything but a bzImage for
 * x86-64 with an LZ4 payload.
 */
export async function extractKernel(
  vmlinuz: string,
  vmlinux: string,
  scratch: string,
  signal?: AbortSignal,
): Promise<void> {
  const { compressed, sizeBytes } = kernelPayload(await readFile(vmlinuz));
  await writeFile(scratch, compressed);
  await runCommand("lz4", ["-d", "-q", "-f", scratch, vmlinux], { signal });
  await requireElf(vmlinux, sizeBytes);
}

/** Finds the compressed kernel in a bzImage, and the size it says it has without compression. */
export function kernelPayload(image: Buffer): { compressed: Buffer; sizeBytes: number } {
  const isBzImage =
    image.length > payloadLengthOffset + 4 &&
    image.readUInt16LE(bootFlagOffset) === 0xaa55 &&
    image.toString("latin1", headerMagicOffset, headerMagicOffset + 4) === "HdrS" &&
    image.readUInt16LE(protocolVersionOffset) >= firstVersionWithPayload;
  if (!isBzImage) throw refused("is not a bzImage");

  // Zero stands for four sectors, for loaders of the 1990s.
  const setupSects = image.readUInt8(setupSectsOffset) || 4;
  const start = (setupSects + 1) * 512 + image.readUInt32LE(payloadOffsetOffset);
  const end = start + image.readUInt32LE(payloadLengthOffset);
  if (end > image.length || end - start < 8) throw refused("is cut off");
  if (image.readUInt32LE(start) !== lz4LegacyMagic) throw refused("is not compressed with LZ4");
  // The kernel's build appends the uncompressed size, which lz4 would take for one more block.
  return { compressed: image.subarray(start, end - 4), sizeBytes: image.readUInt32LE(end - 4) };
}

async function requireElf(file: string, sizeBytes: number): Promise<void> {
  const { size } = await stat(file);
  if (size !== sizeBytes) throw refused("has a damaged payload");
  await using handle = await open(file);
  const { buffer, bytesRead } = await handle.read(Buffer.alloc(20), 0, 20, 0);
  const isElf = bytesRead === 20 && buffer.readUInt32LE(0) === elfMagic;
  if (!isElf || buffer.readUInt16LE(18) !== elfMachineX86_64)
    throw refused("has no ELF kernel for x86-64 inside");
}

function refused(why: string): WrennError {
  return new WrennError(
    "image_missing",
    `The kernel package's boot image ${why}, so no vmlinux can be made from it.`,
  );
}
