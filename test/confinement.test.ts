import { readdir, readFile, readlink, stat } from "node:fs/promises";
import { join } from "node:path";
import type { Capsule } from "@wrenn/contracts/rest";
import { afterAll, beforeAll, describe, expect, inject, test } from "vitest";
import { Api } from "./support/api.ts";
import { asMachine, openFilesOf, statusOf } from "./support/jailed.ts";
import { machinePid } from "./support/machines.ts";
import "./support/provided.ts";

const api = new Api(inject("platform"));
const { wrennDir } = api.platform;

/** A machine that might be taken over, and another that it might want to harm. */
let stack: AsyncDisposableStack;
let pid: number;
let otherPid: number;
let memory: string;
let otherOverlay: string;

beforeAll(async () => {
  stack = new AsyncDisposableStack();
  const [one, other] = [await api.capsule(stack), await api.capsule(stack)];
  [pid, otherPid] = [await pidOf(one), await pidOf(other)];
  memory = await opened(pid, /\/snapshots\/boot-\w+\/memory$/);
  otherOverlay = await opened(otherPid, /^rw .*\/layers\/\w+\.qcow2$/);
});
afterAll(() => stack.disposeAsync());

async function pidOf({ id }: Capsule): Promise<number> {
  const found = await machinePid(wrennDir, id);
  if (found === undefined) throw new Error(`${id} has no machine`);
  return found;
}

async function opened(ofPid: number, pattern: RegExp): Promise<string> {
  const file = [...(await openFilesOf(ofPid))].find((text) => pattern.test(text));
  if (file === undefined) throw new Error(`${ofPid} has no file like ${pattern} open`);
  return file.replace(/^\w+ /, "");
}

describe("the process of a machine", () => {
  test("is a user of its own without a capability, and can get none", async () => {
    const [status, other] = [await statusOf(pid), await statusOf(otherPid)];
    expect(status).toMatchObject({
      NoNewPrivs: "1",
      Seccomp: "2",
      Groups: expect.stringMatching(/^\d*\s*$/),
    });
    for (const set of ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"]) {
      expect(BigInt(`0x${status[set]}`), set).toBe(0n);
    }
    expect(Number(status.Uid)).toBeGreaterThanOrEqual(1_900_000_000);
    expect(status.Gid).toBe(status.Uid);
    expect(other.Uid).not.toBe(status.Uid);
  });

  test("shares no namespace with the host that it could do harm in, and its root is not the host's", async () => {
    for (const kind of ["mnt", "net", "ipc"]) {
      const [own, hosts] = [
        await readlink(`/proc/${pid}/ns/${kind}`),
        await readlink(`/proc/self/ns/${kind}`),
      ];
      expect(own, kind).not.toBe(hosts);
    }
    expect(await readlink(`/proc/${pid}/ns/net`)).not.toBe(await readlink(`/proc/${otherPid}/ns/net`));
    expect(
      (await readdir(`/proc/${pid}/root`)).filter((name) => !/^(s?bin|libx?\d*)$/.test(name)).sort(),
    ).toEqual(["dev", "etc", "handover", "proc", "usr"]);
    const writable = (await readFile(`/proc/${pid}/mounts`, "utf8"))
      .split("\n")
      .filter((line) => / rw[, ]/.test(line))
      .map((line) => line.split(" ")[1]);
    expect(writable.sort()).toEqual(["/handover", "/proc"]);
  });

  test("has limits", async () => {
    const limits = await readFile(`/proc/${pid}/limits`, "utf8");
    expect(limits).toMatch(/^Max core file size\s+0\s+0\s/m);
    expect(limits).toMatch(/^Max processes\s+256\s+256\s/m);
    expect(limits).toMatch(/^Max open files\s+256\s+256\s/m);
    const [, fileBytes] = /^Max file size\s+\d+\s+(\d+)\s/m.exec(limits) ?? [];
    expect(Number(fileBytes)).toBeLessThan(2 * (await stat(await opened(pid, /rootfs\.ext4$/))).size);
  });

  test("has its own files open and no other, and only its own layer for writing", async () => {
    const files = [...(await openFilesOf(pid))];
    const regular = files.filter(
      (file) => / \//.test(file) && !/ \/dev\/(null|urandom|net\/tun)$/.test(file),
    );
    const kinds = regular.map((file) => file.replace(/ .*\/(?=[^/]+\/[^/]+$)/, " "));
    expect(kinds.filter((kind) => !kind.endsWith("/memory")).sort()).toEqual([
      expect.stringMatching(/^r \w+\/rootfs\.ext4$/),
      // Its template's, and its own: it gives up writing that one when it is frozen.
      expect.stringMatching(/^r layers\/\w+\.qcow2$/),
      expect.stringMatching(/^r layers\/\w+\.qcow2$/),
      expect.stringMatching(/^rw layers\/\w+\.qcow2$/),
      expect.stringMatching(/^w \w+\/qemu\.log$/),
    ]);
    expect(regular.join("\n")).not.toContain(otherOverlay);
    for (const kind of files.filter((file) => !/ \//.test(file))) {
      expect(["socket", "anon_inode", "pipe", "/memfd"]).toContain(kind);
    }
  });
});

/** Lines that a machine that is taken over might run, and how each has to fail. */
const attempts: [string, () => string, RegExp][] = [
  ["reads another capsule's overlay", () => `cat ${otherOverlay}`, /No such file/],
  ["lists the agent's directory", () => `ls ${wrennDir}`, /No such file/],
  ["reaches the agent's sockets", () => `ls ${join(wrennDir, "machines")}`, /No such file/],
  ["reads the host's users", () => "cat /etc/passwd", /No such file/],
  ["looks for other directories of the agent", () => "ls /run /var /root /home /tmp /sys", /No such file/],
  ["opens the memory image for writing by its path", () => `: >> ${memory}`, /nonexistent|No such file/],
  ["writes to its own root", () => ": > /file", /Read-only/],
  ["writes to a program of the host", () => ": >> /usr/bin/env", /Permission denied/],
  ["looks for what other machines are handed", () => "ls /handover", /Permission denied/],
  ["leaves something where files are handed over", () => ": > /handover/file", /Permission denied/],
  ["makes a device", () => "mknod /dev/vda b 254 0", /Read-only/],
  ["looks at another machine", () => `ls /proc/${otherPid}`, /No such file/],
  ["looks at the agent's supervisor", () => "ls /proc/1/root", /No such file/],
  ["ends another machine", () => `kill -9 ${otherPid}`, /not permitted/],
  ["becomes root", () => "setpriv --reuid=0 true", /not permitted/],
  ["mounts", () => "mount -t tmpfs none /proc", /must be superuser/],
  ["makes a network device", () => "ip link add dummy0 type dummy", /not permitted/],
  ["reads the kernel's settings", () => "cat /proc/sys/kernel/hostname", /No such file/],
];

describe("whoever takes it over fails when it", () => {
  test.each(attempts)("%s", async (_name, line, refusal) => {
    const { code, stderr } = await asMachine(pid, line());
    expect(stderr).toMatch(refusal);
    expect(code).not.toBe(0);
  });

  test("looks for processes: it sees its own user's alone", async () => {
    const { stdout } = await asMachine(pid, "ls -d /proc/[0-9]*");
    const uids = await asMachine(pid, "stat -c %u /proc/[0-9]*");
    expect(stdout).toContain(`/proc/${pid}\n`);
    expect(new Set(uids.stdout.trim().split("\n"))).toEqual(new Set([(await statusOf(pid)).Uid]));
  });

  test("looks for a program that makes its user root: none does here", async () => {
    const mounts = await readFile(`/proc/${pid}/mounts`, "utf8");
    const lines = mounts.split("\n").filter((line) => / \/(usr|s?bin|libx?\d*) /.test(line));
    expect(lines.length).toBeGreaterThan(0);
    for (const line of lines) expect(line).toMatch(/ ro,nosuid,nodev/);
  });
});
