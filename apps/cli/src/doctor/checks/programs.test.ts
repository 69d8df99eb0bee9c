import { mkdtemp, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { contextOf } from "../testing/context.ts";
import { checkAgent } from "./agent.ts";
import { checkNftables } from "./nftables.ts";
import { checkPrograms } from "./programs.ts";

/** A PATH with nothing on it but what is named. */
async function pathWith(stack: AsyncDisposableStack, ...programs: string[]): Promise<NodeJS.ProcessEnv> {
  const dir = await mkdtemp(join(tmpdir(), "wrenn-path-"));
  stack.defer(() => rm(dir, { recursive: true }));
  for (const program of programs) await symlink("/bin/true", join(dir, program));
  return { PATH: dir };
}

test("what is not installed is named, with one command that installs it all", async () => {
  await using stack = new AsyncDisposableStack();
  const context = contextOf({}, await pathWith(stack, "ip", "nft"));
  const { status, detail, cure } = await checkPrograms(context);
  expect(status).toBe("failing");
  expect(detail).toMatch(/qemu-system-x86_64, qemu-img/);
  expect(detail).not.toMatch(/\bip\b|\bnft\b/);
  expect(cure).toMatch(/^apt-get install qemu-system-x86 qemu-utils/);
});

test("without QEMU the agent says that it has no VMM", async () => {
  await using stack = new AsyncDisposableStack();
  const findings = await checkAgent(contextOf({}, await pathWith(stack)));
  expect(findings.find(({ name }) => name === "VMM")).toMatchObject({
    status: "failing",
    detail: expect.stringContaining("qemu-system-x86_64 is not installed"),
    cure: expect.stringContaining("apt-get install"),
  });
});

test("an agent that cannot read its configuration is one finding, with its own sentence", async () => {
  const findings = await checkAgent(contextOf({}, { ...process.env, WRENN_VMM: "abacus" }));
  expect(findings).toMatchObject([
    { name: "host agent", status: "failing", detail: expect.stringContaining("WRENN_VMM") },
  ]);
});

test("without nft no rule can be made; with it the kernel takes rules like ours, and keeps none", async () => {
  await using stack = new AsyncDisposableStack();
  expect(await checkNftables(contextOf({}, await pathWith(stack)))).toMatchObject({
    status: "failing",
    cure: expect.stringContaining("nftables"),
  });
  expect(await checkNftables(contextOf())).toMatchObject({ status: "ok" });
});
