import { open } from "node:fs/promises";
import { type Finding, WrennError } from "@wrenn/contracts";
import type { Layout } from "../layout.ts";
import { findKernel } from "../templates/kernel.ts";

/** First bytes of an ELF file (elf(5)), which every kernel that we boot is. */
const elfMagic = "\x7fELF";

/** The kernel that the next boot of a template would use. */
export async function probeKernel({ kernels }: Layout): Promise<Finding> {
  const name = "kernel";
  try {
    const { name: file, kernelPath } = await findKernel(kernels);
    if ((await firstBytes(kernelPath)) === elfMagic) return { name, status: "ok", detail: file };
    return {
      name,
      status: "failing",
      detail: `${kernelPath} is not an uncompressed kernel (ELF)`,
      cure: "remove it and run `make images`",
    };
  } catch (error) {
    if (!(error instanceof WrennError)) throw error;
    return { name, status: "warning", detail: `there is none in ${kernels} yet`, cure: "make images" };
  }
}

async function firstBytes(path: string): Promise<string> {
  await using file = await open(path, "r");
  const { buffer, bytesRead } = await file.read(Buffer.alloc(elfMagic.length), 0, elfMagic.length, 0);
  return buffer.toString("latin1", 0, bytesRead);
}
