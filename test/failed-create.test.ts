import { execFile } from "node:child_process";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, inject, test } from "vitest";
import { Api } from "./support/api.ts";
import { processesIn } from "./support/leftovers.ts";
import { sharedImages } from "./support/platform-process.ts";
import "./support/provided.ts";

const api = new Api(inject("platform"));
const run = promisify(execFile);

/** Everything on disk that a create makes. */
async function traces(): Promise<string[]> {
  const { wrennDir } = api.platform;
  const found: string[] = [];
  for (const dir of ["machines", "layers", "snapshots"]) {
    found.push(...(await readdir(join(wrennDir, dir))).map((name) => `${dir}/${name}`));
  }
  return [...found.sort(), ...(await processesIn(join(wrennDir, "machines")))];
}

const broken: [string, (path: string) => Promise<unknown>, RegExp][] = [
  ["is no image", (path) => writeFile(path, Buffer.alloc(1 << 20, "x")), /not an ext4 image/],
  [
    "is cut short",
    async (path) => {
      await run("mkfs.ext4", ["-q", path, "16m"]);
      await run("truncate", ["-s", "8m", path]);
    },
    /cut short/,
  ],
  ["has no init", (path) => run("mkfs.ext4", ["-q", path, "16m"]), /did not boot/],
];

test.each(broken)(
  "a create from a root file system that %s fails, says why, and leaves nothing",
  async (name, make, why) => {
    await using stack = new AsyncDisposableStack();
    const template = `broken-${name.replaceAll(" ", "-")}`;
    const dir = join(sharedImages, "images", template);
    await rm(dir, { recursive: true, force: true });
    await mkdir(dir);
    stack.defer(() => rm(dir, { recursive: true }));
    await make(join(dir, "rootfs.ext4"));
    const before = await traces();

    const response = await api.call("POST", "/v1/capsules", { template });

    expect(response.status).toBe(503);
    const { error } = (await response.json()) as { error: { code: string; message: string } };
    expect(error).toMatchObject({ code: "image_corrupt", message: expect.stringMatching(why) });
    expect(await traces()).toEqual(before);
  },
);
