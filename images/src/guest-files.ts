import { writeFile } from "node:fs/promises";
import { readProgramFile } from "@wrenn/daemon";
import { finish } from "./durable-files.ts";

/** A script that is made part of an image. */
type GuestFile = "customize-base" | "initramfs-init" | "wrenn-init";

/** Its text, for digests. */
export async function readGuestFile(name: GuestFile): Promise<string> {
  return (await readProgramFile(`images/guest/${name}`)).toString();
}

/** Writes it to `path`, executable. */
export async function placeGuestFile(name: GuestFile, path: string): Promise<void> {
  await writeFile(path, await readProgramFile(`images/guest/${name}`));
  await finish(path, 0o755);
}
