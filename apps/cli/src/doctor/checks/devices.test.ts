import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { contextOf } from "../testing/context.ts";
import { checkClock } from "./clock.ts";
import { checkForwarding } from "./forwarding.ts";
import { checkPrivileges } from "./privileges.ts";
import { checkTun } from "./tun.ts";

test("the TUN device opens, or it says how to get one", async () => {
  expect(await checkTun()).toMatchObject({ status: "ok" });
  expect(await checkTun("/dev/net/absent")).toMatchObject({
    status: "failing",
    cure: expect.stringContaining("modprobe tun"),
  });
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "wrenn-tun-"));
  stack.defer(() => rm(dir, { recursive: true }));
  await writeFile(join(dir, "file"), "");
  expect((await checkTun(join(dir, "file"))).status).toBe("failing");
});

test("a clock of another year fails; one that nobody keeps warns", async () => {
  expect(await checkClock(contextOf(), new Date("1970-01-01"))).toMatchObject({ status: "failing" });
  expect(await checkClock(contextOf({}, { PATH: "/nonexistent" }))).toMatchObject({
    status: "warning",
    detail: expect.stringContaining("nothing here says"),
  });
});

test("a clock that chrony keeps is synchronised", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "wrenn-chrony-"));
  stack.defer(() => rm(dir, { recursive: true }));
  const says = async (line: string) => {
    await writeFile(join(dir, "chronyc"), `#!/bin/sh\necho '${line}'\n`, { mode: 0o755 });
    await symlink("/bin/sh", join(dir, "sh")).catch(() => {});
    return (await checkClock(contextOf({}, { PATH: dir }))).status;
  };
  const fields = "A9FEA97B,169.254.169.123,4,1700000000.1,0.000001,0.0,0.0,-9.2,0.0,0.1,0.0004,0.0005,16.1";
  expect(await says(`${fields},Normal`)).toBe("ok");
  expect(await says(`7F7F0101,,0,0.0,0,0,0,0,0,0,1,1,0,Not synchronised`)).toBe("warning");
});

test("forwarding goes through the link of the default route", async () => {
  expect(await checkForwarding(contextOf())).toMatchObject({ name: "forwarding", status: "ok" });
});

test("without root it says what is lost", async () => {
  expect(await checkPrivileges(1000)).toMatchObject({
    status: "warning",
    detail: expect.stringMatching(/lost/),
  });
  expect((await checkPrivileges(0)).status).toBe("ok");
});
