import { createHash } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { apiKeyHash, newApiKey } from "./api-key.ts";

test("a key is the same key in both spellings", () => {
  const digits = fc.array(fc.constantFrom(..."0123456789abcdef"), { minLength: 64, maxLength: 64 });
  fc.assert(
    fc.property(digits, (characters) => {
      const hex = characters.join("");
      const hash = createHash("sha256").update(`wrn_${hex}`).digest();
      expect(apiKeyHash(`wrn_${hex}`)).toEqual(hash);
      expect(apiKeyHash(`e2b_${hex}`)).toEqual(hash);
    }),
  );
});

test("text that is not a key has no hash", () => {
  fc.assert(fc.property(fc.string(), (text) => apiKeyHash(text) === undefined));
  const key = newApiKey();
  for (const text of [
    "",
    key.slice(1),
    `${key}0`,
    key.toUpperCase(),
    `${key}\n`,
    key.replace("wrn", "xyz"),
  ]) {
    expect(apiKeyHash(text), text).toBeUndefined();
  }
});

test("new keys are keys, and different", () => {
  const keys = Array.from({ length: 50 }, newApiKey);
  expect(new Set(keys).size).toBe(50);
  for (const key of keys) expect(apiKeyHash(key)).toHaveLength(32);
});
