import { verify } from "@node-rs/argon2";
import { expect, test } from "vitest";
import { hashPassword } from "./password-hash.ts";

test("another implementation of Argon2 verifies the hash, and nothing but its password", async () => {
  const hash = await hashPassword("pässword");
  expect(hash).toMatch(/^\$argon2id\$v=19\$m=19456,t=2,p=1\$[A-Za-z0-9+/]{22}\$[A-Za-z0-9+/]{43}$/);
  expect(await verify(hash, "pässword")).toBe(true);
  expect(await verify(hash, "password")).toBe(false);
});

test("each hash has a salt of its own", async () => {
  expect(await hashPassword("one")).not.toBe(await hashPassword("one"));
});
