import fc, { type Arbitrary } from "fast-check";
import { bottomless, bytes, mutated } from "./mutation.ts";
import { header, junk, request, text } from "./values.ts";

const headers = header({
  "content-type": ["application/json", "text/plain"],
  "wrenn-extensions": ["1"],
  authorization: ["Basic dXNlcjo=", "Basic"],
  expect: ["100-continue"],
  upgrade: ["h2c", "websocket"],
  origin: ["null"],
});

type Fields = Readonly<Record<string, Arbitrary<unknown>>>;

/** An object with some of the fields, as its JSON. */
function object(fields: Fields): Arbitrary<string> {
  return fc
    .record({ ...fields }, { requiredKeys: [] })
    .map((value) => Buffer.from(JSON.stringify(value)).toString("latin1"));
}

/** What a body of JSON can be: with fields that are right or wrong, under mutation, and something else altogether. */
function json(fields: Fields): Arbitrary<string> {
  const mixed = Object.entries(fields).map(([name, right]) => [name, fc.oneof(right, junk)]);
  const written = object(Object.fromEntries(mixed));
  return fc.oneof(
    { weight: 4, arbitrary: written },
    { weight: 4, arbitrary: mutated(written) },
    { weight: 1, arbitrary: bytes() },
    { weight: 1, arbitrary: bottomless },
  );
}

const composition = json({
  source_paths: fc.array(fc.oneof(text, fc.constantFrom("/tmp/a", "/tmp/b")), { maxLength: 5 }),
  destination: text,
  username: fc.constantFrom("user", "root", "no-such"),
});

const settings = {
  envVars: fc.dictionary(text, text, { maxKeys: 3 }),
  defaultUser: fc.constantFrom("", "no-such", "user\0", "root"),
  defaultWorkdir: fc.constantFrom("relative", "", "~other", "\0", "/tmp"),
  timestamp: fc.oneof(
    mutated(fc.constantFrom("2026-01-02T03:04:05.678Z", "0000-01-01T00:00:60+23:59"), 2),
    fc.constantFrom("9999-12-31T23:59:60.999999999999-23:59", ""),
  ),
};
const restoring = {
  randomSeed: fc.constantFrom("AAAA", "=", "", "A".repeat(10_000)),
  kind: fc.constantFrom("boot", "resume", "clone", "x"),
  restoreEpoch: fc.constantFrom(0, 1, -1, 1.5, 2 ** 53, 1e300, "1", "18446744073709551616"),
  hostname: fc.constantFrom("a", "-", "a..b", "x".repeat(64)),
  machineId: fc.constantFrom("0".repeat(32), "g".repeat(32), "a".repeat(32)),
};
/** A token comes only where no mutation can make a valid one of it, which would be the end of all answers. */
const badToken = fc.constantFrom("", "a b", "\u{e9}", "\0", "x".repeat(5000), 1, ["x"]);
const initialization = fc.oneof(
  { weight: 4, arbitrary: json(settings) },
  { weight: 2, arbitrary: json({ ...restoring, ...settings }) },
  { weight: 1, arbitrary: object({ ...settings, accessToken: badToken }) },
);

/** A port of nobody's, the agent's own, and what is none. */
const tunnels = fc.oneof(
  fc.integer({ min: -1, max: 70_000 }).map(String),
  fc.constantFrom("49983", "49983", "1", "", "+1", "1/2", "0x10", "1".repeat(100), "%31"),
);

/** Requests to everything that is neither a call nor `/files`. */
export function plain(token: string): Arbitrary<string> {
  const posted = fc.oneof(
    fc.tuple(fc.constant("/files/compose"), composition),
    fc.tuple(fc.constant("/init"), initialization),
    fc.tuple(
      tunnels.map((port) => `/tunnel/${port}`),
      bytes(200),
    ),
  );
  const other = fc.tuple(
    fc.constantFrom(
      "/health",
      "/metrics",
      "/envs",
      "/",
      "*",
      "//files",
      "/files/",
      "/%66iles",
      "/process.Process/",
      "/a?b#c",
    ),
    bytes(),
  );
  const verb = fc.constantFrom("GET", "HEAD", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "X", "PATCH");
  const asked = fc.oneof(
    { weight: 4, arbitrary: fc.tuple(fc.constant("POST"), posted) },
    { weight: 1, arbitrary: fc.tuple(verb, fc.oneof(posted, other)) },
  );
  return fc
    .tuple(asked, fc.array(headers, { maxLength: 2 }))
    .map(([[method, [target, body]], list]) =>
      request(method, target, [["x-access-token", token], ...list], body),
    );
}
