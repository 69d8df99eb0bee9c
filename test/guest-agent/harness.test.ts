import { execFile } from "node:child_process";
import { readdir, readlink } from "node:fs/promises";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { startBare } from "./support/bare.ts";
import { Followed } from "./support/followed.ts";
import { eachTarget, eachWire } from "./support/targets.ts";

eachTarget((guest) => {
  test("the agent answers, and only to its token", async () => {
    expect((await guest().fetch("/health", {}, { token: undefined })).status).toBe(204);
    expect((await guest().fetch("/files?path=/etc/passwd", {}, { token: "wrong" })).status).toBe(401);
  });

  eachWire((wire) => {
    test("a process runs", async () => {
      const process = { cmd: "/bin/sh", args: ["-c", "echo out; echo err >&2; exit 3"] };
      const followed = new Followed(guest().as({ wire }).processes.start({ process }));
      expect((await followed.ended).exitCode).toBe(3);
      expect([followed.text("stdout"), followed.text("stderr")]).toEqual(["out\n", "err\n"]);
    });

    test("a directory is listed", async () => {
      const { entries } = await guest().as({ wire }).filesystem.listDir({ path: "/etc" });
      expect(entries.map(({ name }) => name)).toContain("passwd");
    });
  });

  test("there is a second user", async ({ skip }) => {
    skip(!guest().options.otherUsers, "without root there is none");
    expect(await guest().output("id -un; pwd", { user: "user" })).toBe("user\n/home/user\n");
  });
});

async function namespaceOf(kind: string): Promise<Set<string>> {
  const found = new Set<string>();
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name)))
    found.add(await readlink(`/proc/${pid}/ns/${kind}`).catch(() => ""));
  return found;
}

test("a bare agent sees none of this machine's files and processes, and leaves nothing of itself", async () => {
  await using stack = new AsyncDisposableStack();
  const guest = await startBare(stack);
  const kinds = ["mnt", "uts", "net", "ipc", "pid"];
  const links = kinds.map((kind) => `readlink /proc/self/ns/${kind}`).join("; ");
  const inside = (await guest.output(links)).trim().split("\n");
  const outside = await Promise.all(kinds.map((kind) => readlink(`/proc/self/ns/${kind}`)));
  expect(new Set([...inside, ...outside]).size).toBe(2 * kinds.length);

  expect(await guest.output(`ls -d ${import.meta.dirname} /proc/${process.pid} 2>/dev/null || true`)).toBe(
    "",
  );
  for (const line of ["touch /usr/x", "echo 1 >/proc/sys/vm/drop_caches", "date -s @0", "hostname bare"])
    expect((await guest.shell(line)).code === 0, line).toBe(line.startsWith("hostname"));

  await stack.disposeAsync();
  for (const [index, kind] of kinds.entries())
    expect((await namespaceOf(kind)).has(inside[index] ?? ""), kind).toBe(false);
  const { stdout } = await promisify(execFile)("findmnt", ["--output", "TARGET"]);
  expect(stdout).not.toContain("wrenn-bare-");
});
