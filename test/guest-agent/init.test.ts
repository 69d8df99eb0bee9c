import { expect, test } from "vitest";
import { cloneOf, type Fields, init, mustInit, resumeOf } from "./support/restore.ts";
import { eachTarget } from "./support/targets.ts";

const valid = cloneOf(1_000, "other");

/** A body that must be refused, and the field that the refusal names. */
const refused: [field: string, body: Fields][] = [
  ["accessToken", { accessToken: "a b" }],
  ["envVars", { envVars: { A: 1 } }],
  ["defaultUser", { defaultUser: "no-such-user" }],
  ["defaultWorkdir", { defaultWorkdir: "relative" }],
  ["timestamp", { timestamp: "1767323045.5" }],
  ["kind", { kind: "clone" }],
  ["kind", { ...valid, kind: "fork" }],
  ["restoreEpoch", { ...valid, kind: undefined }],
  ["restoreEpoch", { ...valid, restoreEpoch: 0 }],
  ["hostname", { ...valid, hostname: "not valid!" }],
  ["machineId", { ...valid, machineId: "xyz" }],
  ["randomSeed", { ...valid, randomSeed: "*" }],
  // Each kind has its fields, and a call without one changes nothing of the machine.
  ["hostname", { hostname: "other" }],
  ["machineId", { machineId: valid.machineId }],
  ["randomSeed", { randomSeed: valid.randomSeed }],
  ["machineId", { ...valid, machineId: undefined }],
  ["accessToken", { ...valid, accessToken: undefined }],
  ["timestamp", { ...valid, timestamp: undefined }],
  ["randomSeed", { ...resumeOf(1_000), randomSeed: undefined }],
  ["hostname", { ...resumeOf(1_000), hostname: "other" }],
  ["envVars", { ...resumeOf(1_000), envVars: {} }],
];

eachTarget((guest) => {
  test.each(refused)("a bad %s is named, and nothing of the request is applied", async (field, body) => {
    const before = await guest().output("hostname; cat /etc/hostname /etc/hosts");
    const extra: Fields = {};
    if (field !== "envVars") extra.envVars = { APPLIED: "yes" };
    if (field !== "accessToken" && !body.kind) extra.accessToken = "applied";
    const response = await init(guest(), { ...extra, ...body });
    expect(response.status).toBe(400);
    const { code, message } = (await response.json()) as { code: number; message: string };
    expect(code).toBe(400);
    expect(message.startsWith(`${field === "envVars" && body.kind ? "envVars" : field}: `), message).toBe(
      true,
    );
    expect(await guest().output("echo $APPLIED; hostname; cat /etc/hostname /etc/hosts")).toBe(`\n${before}`);
  });

  test("what is set stays until it is set anew", async () => {
    await mustInit(guest(), { envVars: { A: "1", B: "2" }, defaultWorkdir: "/usr" });
    expect(await guest().output("echo $A $B; pwd")).toBe("1 2\n/usr\n");
    await mustInit(guest(), {});
    expect(await guest().output("echo $A $B; pwd")).toBe("1 2\n/usr\n");
    await mustInit(guest(), { envVars: { B: "3" }, defaultWorkdir: "~" });
    expect(await guest().output("echo $A $B; pwd")).toBe("3\n/root\n");
    await mustInit(guest(), { envVars: {} });
  });

  test("the default user is who acts when nobody is named", async ({ skip }) => {
    skip(!guest().options.otherUsers, "without root there is no other user");
    await mustInit(guest(), { defaultUser: "user" });
    expect(await guest().output("id -un; id -Gn; pwd")).toMatch(/^user\nuser .*\n\/home\/user\n$/);
    expect(await guest().output("id -un", { user: "root" })).toBe("root\n");
    await mustInit(guest(), { defaultUser: "root" });
  });

  test("a new token ends the old one at once", async () => {
    const former = guest().token;
    await mustInit(guest(), { accessToken: "another-token" });
    expect((await guest().fetch("/envs", {}, { token: former })).status).toBe(401);
    expect((await guest().fetch("/envs")).status).toBe(200);
  });

  test("without the token, nobody says anything", async () => {
    for (const token of [undefined, "wrong"])
      expect((await guest().fetch("/init", { method: "POST", body: "{}" }, { token })).status).toBe(401);
  });

  test("a body is an object, and need not be there", async () => {
    const post = async (body: string): Promise<number> =>
      (await guest().fetch("/init", { method: "POST", body })).status;
    expect(await post("")).toBe(204);
    for (const body of ["[1]", "{", '"x"']) expect(await post(body), body).toBe(400);
  });
});

eachTarget((guest) => {
  test("an agent that was not started for a guest makes no other computer of the machine", async () => {
    const before = await guest().output("hostname; cat /etc/hostname; date +%Y");
    for (const body of [cloneOf(1, "other"), resumeOf(1), { ...cloneOf(1, "other"), kind: "boot" }]) {
      const response = await init(guest(), { ...body, timestamp: "2001-01-01T00:00:00Z" });
      expect(response.status).toBe(409);
      expect(await response.text()).toContain("kind: ");
    }
    // Its clock is the machine's, and left alone.
    await mustInit(guest(), { timestamp: "2001-01-01T00:00:00Z" });
    expect(await guest().output("hostname; cat /etc/hostname; date +%Y")).toBe(before);
  });
}, "bare");
