import { execFileSync } from "node:child_process";
import { mkdir, mkdtemp, readdir, readFile, readlink, rm, stat, truncate, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { baseFile, baseRecipe } from "./base-image.ts";
import { fileDigest, textDigest } from "./digest.ts";
import { exists } from "./durable-files.ts";
import { ensureImages, type ImagePaths } from "./ensure-images.ts";
import { readGuestFile } from "./guest-files.ts";
import { kernelRecipe } from "./kernel.ts";
import { imageVersion } from "./minimal-image.ts";

let folder: string;
let wrennDir: string;
let envdBinary: string;
let base: string;

/** A folder in which the kernel and a base file system of 16 MiB are there, as after a build with a network. */
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), "wrenn-images-"));
  wrennDir = join(folder, "wrenn");
  envdBinary = join(folder, "envd");
  await writeFile(envdBinary, "first");
  await mkdir(join(wrennDir, "kernels"), { recursive: true });
  await mkdir(join(wrennDir, "cache"));
  for (const name of ["vmlinux-6.1.0", "initramfs-6.1.0.cpio.gz"]) {
    await writeFile(join(wrennDir, "kernels", name), "");
  }
  const manifest = { version: "6.1.0", source: "test", recipe: await kernelRecipe() };
  await writeFile(join(wrennDir, "kernels/manifest.json"), JSON.stringify(manifest));
  base = baseFile(wrennDir, await baseRecipe());
  await mkdir(join(folder, "tree/usr/local/bin"), { recursive: true });
  await writeFile(base, "");
  await truncate(base, 16 * 1024 ** 2);
  execFileSync("/usr/sbin/mkfs.ext4", ["-q", "-F", "-d", join(folder, "tree"), base]);
});

afterEach(() => rm(folder, { recursive: true }));

/** Runs the build and gives the steps that were not cached. */
async function build(signal?: AbortSignal): Promise<ImagePaths & { done: string[] }> {
  const done: string[] = [];
  const paths = await ensureImages({
    wrennDir,
    envdBinary,
    ...(signal && { signal }),
    onProgress: (step, state) => {
      if (state === "done") done.push(step);
    },
  });
  return { ...paths, done };
}

function debugfs(image: string, command: string): string {
  return execFileSync("/usr/sbin/debugfs", ["-R", command, image], { encoding: "latin1", stdio: "pipe" });
}

async function versions(): Promise<string[]> {
  const path = join(wrennDir, "images/minimal/versions");
  return (await exists(path)) ? readdir(path) : [];
}

test("the image has the guest agent and its init, executable and owned by root", async () => {
  const { rootfs } = await build();
  expect(debugfs(rootfs, "cat /usr/local/bin/envd")).toBe("first");
  expect(debugfs(rootfs, "cat /usr/local/bin/wrenn-init")).toBe(await readGuestFile("wrenn-init"));
  for (const name of ["envd", "wrenn-init"]) {
    expect(debugfs(rootfs, `stat /usr/local/bin/${name}`)).toMatch(
      /Mode: {2}0755[\s\S]*User: +0 +Group: +0 /,
    );
  }
  expect(() => execFileSync("/usr/sbin/e2fsck", ["-fn", rootfs], { stdio: "pipe" })).not.toThrow();
});

test("the link leads to a read-only version with a manifest", async () => {
  const { rootfs } = await build();
  const version = basename(dirname(rootfs));
  expect(await readlink(join(wrennDir, "images/minimal/rootfs.ext4"))).toBe(
    `versions/${version}/rootfs.ext4`,
  );
  expect((await stat(rootfs)).mode & 0o777).toBe(0o444);
  expect(JSON.parse(await readFile(join(dirname(rootfs), "manifest.json"), "utf8"))).toMatchObject({
    version,
    baseDigest: await baseRecipe(),
    envdDigest: await fileDigest(envdBinary),
    initDigest: textDigest(await readGuestFile("wrenn-init")),
    sizeBytes: 16 * 1024 ** 2,
  });
});

test("the VMM's own user can reach the image under a strict umask", async () => {
  const umask = process.umask(0o077);
  try {
    await build();
  } finally {
    process.umask(umask);
  }
  for (const name of ["images", "images/minimal", "images/minimal/versions"]) {
    expect((await stat(join(wrennDir, name))).mode & 0o777).toBe(0o755);
  }
});

test("a second call makes nothing", async () => {
  const first = await build();
  const second = await build();
  expect(first.done).toEqual(["minimal image"]);
  expect(second).toEqual({ ...first, done: [] });
});

test("a new guest agent makes a new version and leaves the one before", async () => {
  const before = await build();
  const digest = await fileDigest(before.rootfs);
  await writeFile(envdBinary, "second");
  const after = await build();
  expect(after.rootfs).not.toBe(before.rootfs);
  expect(debugfs(join(wrennDir, "images/minimal/rootfs.ext4"), "cat /usr/local/bin/envd")).toBe("second");
  expect(await fileDigest(before.rootfs)).toBe(digest);

  await writeFile(envdBinary, "first");
  const again = await build();
  expect(again).toEqual({ ...before, done: [] });
  expect(debugfs(join(wrennDir, "images/minimal/rootfs.ext4"), "cat /usr/local/bin/envd")).toBe("first");
});

test("the version depends on each input", () => {
  const inputs = { baseDigest: "a", envdDigest: "b", initDigest: "c" };
  const changed = (["baseDigest", "envdDigest", "initDigest"] as const).map((key) =>
    imageVersion({ ...inputs, [key]: "d" }),
  );
  expect(new Set([imageVersion(inputs), ...changed]).size).toBe(4);
});

test("calls at the same time build once", async () => {
  const results = await Promise.all([build(), build(), build()]);
  expect(results.flatMap(({ done }) => done)).toEqual(["minimal image"]);
  expect(new Set(results.map(({ rootfs }) => rootfs)).size).toBe(1);
  expect(await versions()).toHaveLength(1);
});

test("a failed build leaves nothing half-made and the image before in place", async () => {
  const before = await build();
  await writeFile(base, "not a file system");
  await writeFile(envdBinary, "second");
  await expect(build()).rejects.toMatchObject({ code: "image_missing" });
  expect(await versions()).toEqual([basename(dirname(before.rootfs))]);
  expect(await readlink(join(wrennDir, "images/minimal/rootfs.ext4"))).toContain(
    basename(dirname(before.rootfs)),
  );
  expect((await readdir(join(wrennDir, "cache"))).sort()).toEqual(["images.lock", basename(base)]);
});

test("an aborted build rejects with the caller's reason and leaves nothing", async () => {
  await expect(build(AbortSignal.abort(new Error("enough")))).rejects.toThrow("enough");
  expect(await versions()).toEqual([]);
});

test("what an interrupted build left is removed", async () => {
  await mkdir(join(wrennDir, "cache/work/version"), { recursive: true });
  await writeFile(join(wrennDir, "cache/work/version/rootfs.ext4"), "half");
  await build();
  expect(await exists(join(wrennDir, "cache/work"))).toBe(false);
});

test("an image that somebody else put there is not overwritten", async () => {
  await mkdir(join(wrennDir, "images/minimal"), { recursive: true });
  await writeFile(join(wrennDir, "images/minimal/rootfs.ext4"), "theirs");
  await expect(build()).rejects.toMatchObject({ code: "config_invalid" });
  expect(await readFile(join(wrennDir, "images/minimal/rootfs.ext4"), "utf8")).toBe("theirs");
});

test("a missing guest agent is named", async () => {
  await rm(envdBinary);
  await expect(build()).rejects.toMatchObject({
    code: "image_missing",
    message: expect.stringContaining(envdBinary),
  });
});
