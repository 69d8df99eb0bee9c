import { createHash } from "node:crypto";
import { expect, test } from "vitest";
import { exchange, filesPath, put } from "./support/exchange.ts";
import type { Guest } from "./support/guest.ts";
import { eachTarget } from "./support/targets.ts";

interface Signed {
  readonly path?: string;
  readonly operation?: "read" | "write";
  readonly username?: string;
  readonly expires?: number;
  readonly token?: string;
}

/** The query of a signed URL, made as E2B's clients make it. */
function signed(guest: Guest, { path, operation = "read", username, expires, token }: Signed) {
  const parts = [path ?? "", operation, username ?? "", token ?? guest.token];
  if (expires !== undefined) parts.push(`${expires}`);
  const digest = createHash("sha256").update(parts.join(":")).digest("base64");
  return {
    ...(path === undefined ? {} : { path }),
    ...(username === undefined ? {} : { username }),
    signature: `v1_${digest.replace(/=+$/, "")}`,
    ...(expires === undefined ? {} : { signature_expiration: `${expires}` }),
  };
}

async function init(guest: Guest, body: object): Promise<void> {
  const answer = await guest.fetch("/init", { method: "POST", body: JSON.stringify(body) });
  if (answer.status !== 204) throw new Error(`/init: ${answer.status}: ${await answer.text()}`);
}

const nobody = { token: undefined };
const octets = { "content-type": "application/octet-stream" };

eachTarget((guest) => {
  const status = async (query: Record<string, string>, method = "GET"): Promise<number> => {
    const write = method === "POST" ? { headers: octets, body: "written" } : {};
    return (await exchange(guest(), filesPath(query), { method, caller: nobody, ...write })).status;
  };
  const now = async (): Promise<number> => Number(await guest().output("date +%s"));

  test("no signature is accepted before the agent knows its token", async ({ skip }) => {
    skip(guest().options.target === "capsule", "a capsule has been told");
    const query = signed(guest(), { path: "/etc/passwd" });
    const answer = await exchange(guest(), filesPath(query), { caller: nobody });
    expect([answer.status, JSON.parse(answer.body.toString()).message]).toEqual([
      401,
      expect.stringContaining("/init"),
    ]);
  });

  test("a signature opens one path for one operation of one user", async () => {
    await init(guest(), { accessToken: guest().token });
    await put(guest(), "/tmp/signed file", "signed");
    const path = "/tmp/signed file";
    const good = signed(guest(), { path });
    const answer = await exchange(guest(), filesPath(good), { caller: nobody });
    expect([answer.status, answer.body.toString()]).toEqual([200, "signed"]);
    expect(await status(good, "HEAD")).toBe(200);
    expect(await status(good, "POST")).toBe(401);
    expect(await status(signed(guest(), { path, operation: "write" }))).toBe(401);
    expect(await status(signed(guest(), { path, username: "root" }))).toBe(200);
    for (const changed of [
      { ...good, path: "/etc/passwd" },
      { ...good, username: "root" },
      { ...good, signature_expiration: `${(await now()) + 100}` },
      { ...good, signature: good.signature.slice(0, -1) },
      { ...good, signature: "v1_" },
      { path },
      signed(guest(), { path, token: "wrong" }),
    ])
      expect(await status(changed), JSON.stringify(changed)).toBe(401);
    expect(await status(good, "PUT")).toBe(405);
  });

  test("a signature for writing brings a file there, or by its name where it names none", async () => {
    const path = "/tmp/uploaded";
    expect(await status(signed(guest(), { path, operation: "write" }), "POST")).toBe(200);
    const body = new FormData();
    body.append("file", new Blob(["by name"]), "/tmp/by-name");
    const query = signed(guest(), { operation: "write" });
    const answer = await guest().fetch(filesPath(query), { method: "POST", body }, nobody);
    expect(answer.status).toBe(200);
    expect(await guest().output("cat /tmp/uploaded /tmp/by-name")).toBe("writtenby name");
  });

  test("an expired signature says so, when it was one", async () => {
    const path = "/etc/passwd";
    const past = (await now()) - 1;
    const message = async (query: Record<string, string>) => {
      const answer = await exchange(guest(), filesPath(query), { caller: nobody });
      return [answer.status, JSON.parse(answer.body.toString())];
    };
    const text = "signature is already expired";
    expect(await message(signed(guest(), { path, expires: past }))).toEqual([
      401,
      { code: 401, message: text },
    ]);
    const forged = await message(signed(guest(), { path, expires: past, token: "wrong" }));
    expect(forged).toEqual([401, { code: 401, message: expect.not.stringContaining("expired") }]);
    expect(await status(signed(guest(), { path, expires: past + 1000 }))).toBe(200);
  });

  test("beside a signature other credentials add nothing", async ({ skip }) => {
    const path = "/etc/passwd";
    const wrong = await exchange(guest(), filesPath(signed(guest(), { path })), {
      caller: { token: "wrong" },
    });
    expect(wrong.status).toBe(401);
    skip(!guest().options.otherUsers, "without root there is none");
    await guest().output("echo secret >/root/secret; chmod 600 /root/secret");
    await init(guest(), { defaultUser: "user" });
    const query = filesPath(signed(guest(), { path: "/root/secret" }));
    const asRoot = await exchange(guest(), query, { caller: { ...nobody, user: "root" } });
    expect(asRoot.status).toBe(403);
    expect((await exchange(guest(), query, { caller: { user: "root" } })).status).toBe(200);
    await init(guest(), { defaultUser: "root" });
  });

  test("a signature opens nothing but files, and ends with the token", async () => {
    const path = "/etc/passwd";
    const query = signed(guest(), { path });
    for (const other of ["/files/compose", "/metrics", "/envs"])
      expect((await guest().fetch(`${other}?${new URLSearchParams(query)}`, {}, nobody)).status).toBe(401);
    await init(guest(), { accessToken: "another" });
    guest().token = "another";
    expect(await status(query)).toBe(401);
    expect(await status(signed(guest(), { path }))).toBe(200);
  });
});
