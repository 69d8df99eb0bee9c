import { spawn } from "node:child_process";
import { once } from "node:events";
import { chmod, chown, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join, relative } from "node:path";
import { text } from "node:stream/consumers";
import { expect, test } from "vitest";
import { processesIn } from "./support/leftovers.ts";
import { builtEnvd, repository, sharedImages } from "./support/platform-process.ts";

/** A user that no host has. */
const uid = 1_812_345_678;

/** Runs a command as the user, in a mount namespace where it finds the repository and has a name. */
const script = `
mount --make-rprivate /
mount --bind "$1" "$2/repository"
mount --bind "$2/passwd" /etc/passwd
cd "$2/repository"
shift 2
exec setpriv --reuid ${uid} --regid ${uid} --clear-groups --inh-caps=-all "$@"
`;

/** A directory of the user's, with the shared images in it. */
async function makeHome(stack: AsyncDisposableStack): Promise<string> {
  const home = await mkdtemp(join(tmpdir(), "wrenn-user-"));
  stack.defer(() => rm(home, { recursive: true, force: true }));
  await chmod(home, 0o755);
  await mkdir(join(home, "repository"));
  await mkdir(join(home, "wrenn/cache"), { recursive: true });
  for (const name of ["kernels", "images"]) {
    const images = relative(repository, join(sharedImages, name));
    await symlink(join(home, "repository", images), join(home, "wrenn", name));
  }
  for (const dir of ["wrenn", "wrenn/cache"]) await chown(join(home, dir), uid, uid);
  const users = await readFile("/etc/passwd", "utf8");
  await writeFile(join(home, "passwd"), `${users}wrenn-user:x:${uid}:${uid}::/:/bin/sh\n`);
  return home;
}

test("an ordinary user starts the platform, runs something in a capsule, and leaves nothing", async () => {
  await using stack = new AsyncDisposableStack();
  const home = await makeHome(stack);
  const own = (path: string) => join(home, "repository", relative(repository, path));
  const command = [own(join(repository, "node_modules/.bin/node")), "apps/cli/src/main.ts", "demo"];
  const args = ["--mount", "sh", "-euc", script, "sh", repository, home, ...command];
  const child = spawn("unshare", args, {
    env: {
      PATH: process.env.PATH,
      WRENN_DIR: join(home, "wrenn"),
      WRENN_CP_LISTEN_ADDR: "127.0.0.1:0",
      WRENN_HOST_LISTEN_ADDR: "127.0.0.1:0",
      WRENN_HOST_METRICS_ADDR: "127.0.0.1:0",
      WRENN_ENVD_BIN: own(builtEnvd()),
      DATABASE_URL: "",
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [stdout, stderr] = [text(child.stdout), text(child.stderr)];
  stack.defer(() => void child.kill("SIGKILL"));
  const [code] = await once(child, "exit");

  expect(code, await stderr).toBe(0);
  expect(await stderr).toContain("not root: ");
  const result = JSON.parse((await stdout).trim().split("\n").at(-1) ?? "");
  expect(result).toMatchObject({ ok: true, stdout: expect.stringContaining("a computer of its own") });
  await expect.poll(() => processesIn(home)).toEqual([]);
});
