import { execFile } from "node:child_process";
import { link, mkdir, mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";
import { leftoversOf } from "./support/leftovers.ts";
import { pathWithout } from "./support/path-without.ts";
import { makeWrennDir, repository } from "./support/platform-process.ts";

const run = promisify(execFile);
const stack = new AsyncDisposableStack();
let builds: string;
/** An environment in which nothing is set but the way to Debian's programs. */
let bare: NodeJS.ProcessEnv;

beforeAll(async () => {
  const dir = await mkdtemp(join(tmpdir(), "wrenn-build-"));
  stack.defer(() => rm(dir, { recursive: true }));
  builds = join(dir, "builds");
  bare = { PATH: await pathWithout(join(dir, "bin"), /^(node|nodejs|npm|npx|corepack)$/) };
  await run(process.execPath, [join(repository, "scripts/build.ts"), builds]);
});
afterAll(() => stack.disposeAsync());

/** Only what has to differ on a machine where another platform runs. */
function environment(wrennDir: string): NodeJS.ProcessEnv {
  const anyPort = "127.0.0.1:0";
  return {
    ...bare,
    WRENN_DIR: wrennDir,
    WRENN_CP_LISTEN_ADDR: anyPort,
    WRENN_HOST_LISTEN_ADDR: anyPort,
    WRENN_HOST_METRICS_ADDR: anyPort,
  };
}

test("without Node and npm, from an empty environment, the demo runs and leaves nothing", async () => {
  await using own = new AsyncDisposableStack();
  const wrennDir = await makeWrennDir(own);
  await expect(run("node", ["--version"], { env: bare })).rejects.toMatchObject({ code: "ENOENT" });

  const { stdout } = await run(join(builds, "wrenn"), ["demo"], { cwd: "/", env: environment(wrennDir) });

  expect(JSON.parse(stdout.trim().split("\n").at(-1) ?? "")).toEqual({
    ok: true,
    vmm: expect.stringMatching(/^qemu-/),
    create_ms: expect.any(Number),
    exec_ms: expect.any(Number),
    kernel: expect.stringMatching(/^\d+\.\d+\.\d+/),
    stdout: expect.stringMatching(/^Hello from cl[0-9a-z]{25}/),
  });
  const left = await leftoversOf(wrennDir);
  expect(left.filter((name) => !name.startsWith("layers/"))).toEqual([]);
});

test.each(["wrenn", "wrenn-cp", "wrenn-agent"])("%s says what was built", async (name) => {
  const { stdout } = await run(join(builds, name), ["--version"], { cwd: "/", env: bare });
  expect(stdout).toMatch(/^\d+\.\d+\.\d+ \(([0-9a-f]{12}( with changes)?|unknown commit)\)\n$/);
});

test("wrenn without its daemons beside it says what is missing", async () => {
  await using own = new AsyncDisposableStack();
  const wrennDir = await makeWrennDir(own);
  const alone = join(builds, "alone");
  await mkdir(alone);
  await link(join(builds, "wrenn"), join(alone, "wrenn"));
  await expect(
    run(join(alone, "wrenn"), ["up"], { cwd: "/", env: environment(wrennDir) }),
  ).rejects.toMatchObject({
    code: 1,
    stderr: expect.stringMatching(/^error: \S+\/alone\/wrenn-(cp|agent) does not exist/m),
  });
  expect(await leftoversOf(wrennDir)).toEqual([]);
});
