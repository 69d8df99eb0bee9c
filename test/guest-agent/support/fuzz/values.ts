import fc, { type Arbitrary } from "fast-check";

/** What the process that waits for input and signals is called. */
export const victim = "victim";

/** Some of them are there, see `prepare`. */
const names = [
  ...["a", "b", "full", "pipe", "link", "dangling", "loop"],
  ...["Ä", "a b", "-", "..", ".", "%2e%2e", "\u{1f40d}", "x".repeat(255), "x".repeat(256), "a\nb"],
];

const path: Arbitrary<string> = fc
  .tuple(
    fc.constantFrom("/tmp", "/tmp", "/tmp", "", "~", "/root", "/proc/self", "//tmp/", "/dev"),
    fc.array(fc.constantFrom(...names), { maxLength: 3 }),
  )
  .map(([start, rest]) => [start, ...rest].join("/"));

const oddities = [
  ...["", "\0", "a\0b", "~other/x", "/", "true", "cat", "user", "root", "nobody", victim],
  ...[
    "/proc/self/status",
    "/proc/self/fd",
    "/tmp/link",
    "/usr/bin",
    "x".repeat(5000),
    "/".repeat(4096),
    "a/".repeat(3000),
  ],
  ...["-1", "18446744073709551616", "NaN", "\u202e", "__proto__", "A=B"],
];

/** A text as somebody with bad intentions or bad luck would send it. */
export const text: Arbitrary<string> = fc.oneof(
  { weight: 3, arbitrary: path },
  { weight: 2, arbitrary: fc.constantFrom(...oddities) },
  { weight: 1, arbitrary: fc.string({ maxLength: 30, unit: "binary" }) },
);

/** Numbers around the ends of everything. */
export const number: Arbitrary<number> = fc.oneof(
  fc.integer({ min: 0, max: 40 }),
  fc.constantFrom(0, 1, 65_535, 65_536, 2 ** 31 - 1, 2 ** 31, 2 ** 32 - 1),
);

/** JSON in place of what belongs there. */
export const junk: Arbitrary<unknown> = fc.oneof(
  fc.jsonValue({ maxDepth: 2 }),
  fc.constantFrom<unknown>(null, -1, 1e308, "1e9", [], {}, [[]], true, "\0", "\ud800"),
);

/** The header of a request: mostly one that means something, mostly with a value that it can have. */
export function header(choices: Readonly<Record<string, readonly string[]>>): Arbitrary<[string, string]> {
  const value = fc.string({
    maxLength: 40,
    unit: fc.integer({ min: 32, max: 255 }).map((c) => String.fromCharCode(c)),
  });
  const known = Object.entries(choices).map(([name, values]) =>
    fc.tuple(
      fc.constant(name),
      fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...values) }, { weight: 1, arbitrary: value }),
    ),
  );
  const unknown = fc.tuple(fc.stringMatching(/^[a-z][a-z-]{0,20}$/), value);
  return fc.oneof({ weight: 8, arbitrary: fc.oneof(...known) }, { weight: 1, arbitrary: unknown });
}

/** A request as it goes over the wire. The connection ends with its answer. */
export function request(
  method: string,
  target: string,
  headers: ReadonlyArray<readonly [string, string]>,
  body: string,
): string {
  const framing = [
    ["host", "guest"],
    ["connection", "close"],
    ["content-length", `${body.length}`],
  ] as const;
  // These are the raw surface's to get wrong: here they would leave the agent waiting, as they should.
  const others = headers.filter(
    ([name]) => !framing.some(([own]) => own === name) && name !== "transfer-encoding",
  );
  const lines = [...framing, ...others].map(([name, value]) => `${name}: ${value}\r\n`);
  return `${method} ${target} HTTP/1.1\r\n${lines.join("")}\r\n${body}`;
}
