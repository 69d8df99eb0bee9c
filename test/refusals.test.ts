import { execFile } from "node:child_process";
import { once } from "node:events";
import { mkdir } from "node:fs/promises";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { promisify } from "node:util";
import { describe, expect, test } from "vitest";
import { leftoversOf } from "./support/leftovers.ts";
import { pathWithout } from "./support/path-without.ts";
import { cliPath, makeWrennDir, platformEnvironment, startCli } from "./support/platform-process.ts";

const run = promisify(execFile);

interface Refusal {
  readonly code: number;
  /** What it said after progress lines: the sentence for the operator. */
  readonly sentence: string;
  readonly left: string[];
}

/** Runs `wrenn up` where it cannot work. */
async function refusalOf(wrennDir: string, extra: NodeJS.ProcessEnv): Promise<Refusal> {
  const child = startCli(["up"], platformEnvironment(wrennDir, extra), "pipe");
  if (!child.stderr) throw new Error("stderr is not piped");
  const [stderr, [code]] = await Promise.all([text(child.stderr), once(child, "exit")]);
  const sentences = stderr.split("\n").filter((line) => line !== "" && !/^[…✓]/.test(line));
  expect(sentences, stderr).toHaveLength(1);
  return { code, sentence: sentences[0] ?? "", left: await leftoversOf(wrennDir) };
}

describe("what an operator has to mend is one sentence, a bad exit, and nothing half-made", () => {
  test("the VMM is missing", async () => {
    await using stack = new AsyncDisposableStack();
    const wrennDir = await makeWrennDir(stack);
    const refusal = await refusalOf(wrennDir, {
      PATH: await pathWithout(join(wrennDir, "bin"), /^qemu-system/),
    });
    expect(refusal).toMatchObject({ code: 1, left: [] });
    expect(refusal.sentence).toMatch(/qemu-system-x86_64 is not installed.*make install/);
  });

  test.each(["WRENN_CP_LISTEN_ADDR", "WRENN_HOST_LISTEN_ADDR", "WRENN_HOST_METRICS_ADDR"])(
    "the port of %s is in use",
    async (variable) => {
      await using stack = new AsyncDisposableStack();
      const wrennDir = await makeWrennDir(stack);
      const server = createServer().listen(0, "127.0.0.1");
      stack.defer(() => void server.close());
      await once(server, "listening");
      const { port } = server.address() as AddressInfo;
      const refusal = await refusalOf(wrennDir, { [variable]: `127.0.0.1:${port}` });
      expect(refusal).toMatchObject({ code: 1, left: [] });
      expect(refusal.sentence).toContain(`127.0.0.1:${port} is in use`);
      expect(refusal.sentence).toContain(variable);
    },
  );

  test("the configuration is malformed", async () => {
    await using stack = new AsyncDisposableStack();
    const wrennDir = await makeWrennDir(stack);
    const refusal = await refusalOf(wrennDir, { WRENN_CP_LISTEN_ADDR: "8000", LOG_LEVEL: "loud" });
    expect(refusal).toMatchObject({ code: 1, left: [] });
    expect(refusal.sentence).toMatch(/WRENN_CP_LISTEN_ADDR must look like.*LOG_LEVEL must be one of/);
  });

  test("the disk is full", async () => {
    await using stack = new AsyncDisposableStack();
    const wrennDir = await makeWrennDir(stack, async (dir) => {
      await run("mount", ["-t", "tmpfs", "-o", "size=24m", "wrenn-test", dir]);
      stack.defer(async () => void (await run("umount", [dir])));
    });
    const refusal = await refusalOf(wrennDir, {});
    expect(refusal).toMatchObject({ code: 1, left: [] });
    expect(refusal.sentence).toMatch(/disk|space/);
  });

  test("another platform runs on the same directory", async () => {
    await using stack = new AsyncDisposableStack();
    const wrennDir = await makeWrennDir(stack);
    const { lockDirectory } = await import("@wrenn/daemon");
    await mkdir(join(wrennDir, "postgres"));
    stack.use(await lockDirectory(join(wrennDir, "postgres"), "postgres"));
    const refusal = await refusalOf(wrennDir, {});
    expect(refusal).toMatchObject({ code: 1, left: [] });
    expect(refusal.sentence).toContain("another process uses");
  });

  test("the command does not exist", async () => {
    await expect(run(process.execPath, [cliPath, "fly"])).rejects.toMatchObject({
      code: 1,
      stderr: expect.stringContaining("unknown command"),
    });
  });
});
