import { randomBytes, X509Certificate } from "node:crypto";
import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, beforeEach, expect, test } from "vitest";
import { startTestPostgres, type TestDatabase, type TestPostgres } from "../testing/postgres.ts";
import { loadAuthority } from "./load.ts";
import { hostIdOf } from "./names.ts";
import { seal, unseal } from "./seal.ts";

let postgres: TestPostgres;
let database: TestDatabase;
let dir: string;
beforeAll(async () => {
  postgres = await startTestPostgres();
});
afterAll(() => postgres[Symbol.asyncDispose]());
beforeEach(async () => {
  database = await postgres.newDatabase();
  dir = await mkdtemp(join(tmpdir(), "wrenn-authority-"));
  return async () => {
    await database[Symbol.asyncDispose]();
    await rm(dir, { recursive: true });
  };
});

const file = () => join(dir, "encryption-key");
const load = (key?: Buffer) => loadAuthority(database.kysely, { key, file: file() });
const pem = async (key?: Buffer) => (await load(key)).certificate.toString("pem");

test("control planes that start together make one authority, and one key for its owner alone", async () => {
  const all = await Promise.all(Array.from({ length: 5 }, () => pem()));
  expect(new Set(all).size).toBe(1);
  expect((await stat(file())).mode & 0o777).toBe(0o600);
  expect(await readFile(file(), "utf8")).toMatch(/^[0-9a-f]{64}\n$/);
  expect(await readdir(dir)).toEqual(["encryption-key"]);
  const certificate = new X509Certificate(all[0] ?? "");
  expect(certificate.ca).toBe(true);
  expect(certificate.verify(certificate.publicKey)).toBe(true);
});

test("its key is nowhere in the clear, and opens with the key it was sealed with alone", async () => {
  const key = randomBytes(32);
  const made = await pem(key);
  expect(await readdir(dir)).toEqual([]);
  expect(await pem(key)).toBe(made);
  await expect(pem(randomBytes(32))).rejects.toMatchObject({
    code: "config_invalid",
    message: /sealed with another key.*WRENN_ENCRYPTION_KEY/,
  });
});

test("a key that is lost is asked for, and not made anew", async () => {
  await pem();
  const key = await readFile(file());
  await rm(file());
  await expect(pem()).rejects.toMatchObject({ code: "config_invalid", message: /restore .*encryption-key/ });
  expect(await readdir(dir)).toEqual([]);
  await writeFile(file(), "half");
  await expect(pem()).rejects.toMatchObject({ code: "config_invalid", message: /64 hexadecimal digits/ });
  await writeFile(file(), key);
  await pem();
});

test("what is sealed is whole, for its purpose, and never the same twice", () => {
  const key = randomBytes(32);
  const sealed = seal(key, "a", Buffer.from("secret"));
  expect(unseal(key, "a", sealed).toString()).toBe("secret");
  expect(seal(key, "a", Buffer.from("secret")).equals(sealed)).toBe(false);
  expect(() => unseal(key, "b", sealed)).toThrow();
  for (let at = 0; at < sealed.length; at += 1) {
    const changed = Buffer.from(sealed);
    changed[at] = (changed[at] ?? 0) ^ 1;
    expect(() => unseal(key, "a", changed), String(at)).toThrow();
  }
  for (const short of [0, 5, 12, 27]) expect(() => unseal(key, "a", sealed.subarray(0, short))).toThrow();
});

test("a certificate is of a host if that is the one name it has", () => {
  expect(hostIdOf("DNS:hs1.host.wrenn.internal")).toBe("hs1");
  for (const other of [
    undefined,
    "",
    "DNS:control-plane.wrenn.internal",
    "DNS:hs1.host.wrenn.internal, DNS:hs2.host.wrenn.internal",
    "URI:hs1.host.wrenn.internal",
    "DNS:hs1.host.wrenn.internal.example",
  ]) {
    expect(hostIdOf(other), other).toBeUndefined();
  }
});
