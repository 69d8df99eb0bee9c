import { open } from "node:fs/promises";
import { WrennError } from "@wrenn/contracts";

const superblockOffset = 1024;
const magicOffset = 0x38;
const magic = 0xef53;

/**
 * Refuses a file that cannot be an ext4 image: wrong magic, or shorter than its own superblock says.
 * Layout: https://docs.kernel.org/filesystems/ext4/super.html
 */
export async function checkExt4(path: string): Promise<void> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  const { buffer } = await file.read(Buffer.alloc(1024), 0, 1024, superblockOffset);
  if (buffer.readUInt16LE(magicOffset) !== magic) {
    throw new WrennError("image_corrupt", `${path} is not an ext4 image; remove it and run \`make images\``);
  }
  const blockBytes = 1024 << buffer.readUInt32LE(0x18);
  const blocks = buffer.readUInt32LE(0x4) + buffer.readUInt32LE(0x150) * 2 ** 32;
  if (size < blocks * blockBytes) {
    throw new WrennError("image_corrupt", `${path} is cut short; remove it and run \`make images\``);
  }
}
