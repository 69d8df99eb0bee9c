import { spawn } from "node:child_process";
import { once } from "node:events";
import { access } from "node:fs/promises";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import type { Finding } from "@wrenn/contracts";
import { expect, test } from "vitest";

const main = join(import.meta.dirname, "../main.ts");
/** The requirements that the documents promise a line for. */
const promised = [
  ...["VMM", "KVM", "TUN", "nftables", "forwarding", "disk space", "reflink", "kernel", "images"],
  ...["ports", "database", "clock", "cgroup", "confinement", "privileges"],
];
const absent = "/nonexistent/wrenn";

async function doctor(args: string[], env: NodeJS.ProcessEnv = {}): Promise<{ code: number; out: string }> {
  const child = spawn(process.execPath, [main, "doctor", ...args], {
    env: {
      ...process.env,
      WRENN_DIR: absent,
      WRENN_CP_LISTEN_ADDR: "127.0.0.1:0",
      WRENN_HOST_LISTEN_ADDR: "127.0.0.1:0",
      DATABASE_URL: "",
      ...env,
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [out, [code]] = await Promise.all([text(child.stdout), once(child, "exit")]);
  return { code, out };
}

test("one line for each requirement, without colour in a pipe; warnings are no failure", async () => {
  const { code, out } = await doctor([]);
  for (const name of promised) {
    expect(out).toMatch(new RegExp(`^(ok     |warning|failing)  ${name} +\\S`, "m"));
  }
  expect(out).not.toContain("\u001b");
  expect(out).toMatch(/\d+ ok, \d+ warnings?, 0 failing\n$/);
  expect(code).toBe(0);
  await expect(access(absent)).rejects.toMatchObject({ code: "ENOENT" });
});

test("something failing is exit code 1, and JSON says the same", async () => {
  const { code, out } = await doctor(["--json"], { PATH: "/nonexistent" });
  const { ok, findings } = JSON.parse(out) as { ok: boolean; findings: Finding[] };
  expect([code, ok]).toEqual([1, false]);
  const failing = findings.filter(({ status }) => status === "failing");
  expect(failing.map(({ name }) => name)).toEqual(expect.arrayContaining(["programs", "VMM", "nftables"]));
  for (const { name, cure } of failing) expect(cure, name).toBeTruthy();
});
