import { mkdir } from "node:fs/promises";
import { ensureImages } from "@wrenn/images";
import type { TestProject } from "vitest/node";
import { builtEnvd, sharedImages } from "./support/platform-process.ts";
import "./support/provided.ts";

/** Kernel and root file system, for suites that start by themselves what they need. */
export async function setup(project: TestProject): Promise<void> {
  await mkdir(sharedImages, { recursive: true });
  await ensureImages({ wrennDir: sharedImages, envdBinary: builtEnvd(), onProgress: () => {} });
  project.provide("imagesDir", sharedImages);
  project.provide("envdBinary", builtEnvd());
}
