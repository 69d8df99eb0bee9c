import { newId } from "@wrenn/contracts";
import { expect, test } from "vitest";
import { parseRegistrationToken, tokenDigest } from "./token.ts";

const hostId = newId("host");
const secret = `${"A-_z".repeat(10)}abc`;
const fingerprint = "0123456789abcdef".repeat(4);
const good = `wrr_${hostId}.${secret}.${fingerprint}`;

test("names the host and the authority to trust", () => {
  expect(parseRegistrationToken(` ${good}\n`)).toEqual({ text: good, hostId, caFingerprint: fingerprint });
});

test.each([
  ["empty", ""],
  ["of another kind", good.replace("wrr_", "wrh_")],
  ["cut off", good.slice(0, -1)],
  ["with an id that is no host's", good.replace(hostId, newId("capsule"))],
  ["with a path for an id", good.replace(hostId, "../../x")],
  ["with another alphabet", good.replace("A-_z", "A+/z")],
  ["with capital digits", good.replace("abcdef", "ABCDEF")],
])("%s, it is refused without being repeated", (_, text) => {
  const refused = expect(() => parseRegistrationToken(text));
  refused.toThrow(expect.objectContaining({ code: "config_invalid" }));
  refused.toThrow(/^(?!.*A-_zA-_z).*the registration token is malformed/);
});

test("is told apart by a digest that does not hold it", () => {
  const token = parseRegistrationToken(good);
  expect(tokenDigest(token)).toMatch(/^[0-9a-f]{64}$/);
  expect(tokenDigest(token)).not.toContain(secret);
});
