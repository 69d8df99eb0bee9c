import { readFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";

type GuestFile = "customize-base" | "initramfs-init" | "wrenn-init";

/** The path of a script that is made part of an image. */
export function guestFile(name: GuestFile): string {
  return fileURLToPath(new URL(`../guest/${name}`, import.meta.url));
}

/** Its text, for digests. */
export function readGuestFile(name: GuestFile): Promise<string> {
  return readFile(guestFile(name), "utf8");
}
