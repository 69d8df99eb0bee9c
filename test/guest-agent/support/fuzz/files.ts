import { createHash } from "node:crypto";
import { gzipSync } from "node:zlib";
import fc, { type Arbitrary } from "fast-check";
import { bytes, mutated } from "./mutation.ts";
import { header, request, text } from "./values.ts";

const headers = header({
  range: [
    "bytes=0-0",
    "bytes=-1",
    "bytes=5-",
    "bytes=9-1",
    "bytes=0-1,3-4",
    "bytes=18446744073709551615-",
    "lines=1-2",
  ],
  "if-range": ['"x"', "Tue, 14 Nov 2023 22:13:19 GMT"],
  "if-match": ["*", '"x"', 'W/"x", "y"'],
  "if-none-match": ["*", '"x"'],
  "if-modified-since": ["Tue, 14 Nov 2023 22:13:19 GMT", "Thu, 01 Jan 1970 00:00:00 GMT", "0"],
  "if-unmodified-since": ["Tue, 14 Nov 2023 22:13:19 GMT"],
  "accept-encoding": ["gzip", "identity;q=0", "gzip;q=0, *;q=0", "br, gzip;q=1.001", "*"],
  "content-encoding": ["gzip", "identity", "br", "gzip, gzip"],
  authorization: ["Basic dXNlcjo=", "Basic cm9vdDo=", "Basic Og==", "Basic", "Bearer x"],
  "x-metadata-a": ["b", "\xff", "x".repeat(3000)],
  "x-metadata-": ["b"],
  origin: ["null", "https://example.com"],
  "access-control-request-method": ["POST"],
  "access-control-request-headers": ["x-access-token", "*"],
});

/** Requests to `/files` with the token, with a signature that is right or nearly so, or with neither. */
export function file(token: string): Arbitrary<string> {
  const verbs = ["GET", "GET", "GET", "HEAD", "POST", "POST", "POST", "POST", "OPTIONS", "PUT"];
  return fc.oneof(...verbs.map((verb) => fileOf(verb, token)));
}

function fileOf(verb: string, token: string): Arbitrary<string> {
  const body = verb === "POST" ? upload : fc.constant(["", ""] as const);
  return fc
    .tuple(target(verb, token), fc.array(headers, { maxLength: 3 }), body)
    .map(([[query, signed], list, [contentType, content]]) => {
      const identity = signed ? [] : [["x-access-token", token] as const];
      const kind = contentType ? [["content-type", contentType] as const] : [];
      return request(verb, `/files?${query}`, [...identity, ...kind, ...list], content);
    });
}

/** A query, and whether it is to stand for itself. */
function target(method: string, token: string): Arbitrary<[string, boolean]> {
  const fields = fc.record(
    {
      path: text,
      username: fc.constantFrom("user", "user", "root", "", "no-such"),
      mode: fc.constantFrom("644", "0", "777", "640", "8", "07777"),
    },
    { requiredKeys: [] },
  );
  const plain = fields.map((query) => encoded(query));
  const signed = fc
    .tuple(fields, fc.option(fc.constantFrom("0", "99999999999", "9223372036854775808", "x")))
    .map(([query, expires]) => {
      const operation = method === "POST" ? "write" : "read";
      const parts = [
        query.path ?? "",
        operation,
        query.username ?? "",
        token,
        ...(expires === null ? [] : [expires]),
      ];
      const digest = createHash("sha256").update(parts.join(":")).digest("base64").replaceAll("=", "");
      const until = expires === null ? {} : { signature_expiration: expires };
      return encoded({ ...query, signature: `v1_${digest}`, ...until });
    });
  const odd = fc.stringMatching(/^([a-z_=&+]|path=|mode=|%[0-9a-g]{0,2}){0,30}$/);
  return fc.oneof(
    { weight: 8, arbitrary: fc.tuple(plain, fc.constant(false)) },
    { weight: 1, arbitrary: fc.tuple(plain, fc.constant(true)) },
    {
      weight: 2,
      arbitrary: fc.tuple(fc.oneof(signed, mutated(signed, 1).map(encodeURI)), fc.constant(true)),
    },
    { weight: 1, arbitrary: fc.tuple(odd, fc.constant(false)) },
  );
}

function encoded(query: Readonly<Record<string, string>>): string {
  return new URLSearchParams(query).toString();
}

const form: Arbitrary<string> = fc
  .array(
    fc.record({
      name: fc.constantFrom("file", "file", "file", "other", ""),
      fileName: fc.oneof(text, fc.constantFrom("/tmp/a", "/tmp/b")),
      extra: fc.constantFrom(
        "",
        "content-type: text/plain\r\n",
        `x: ${"y".repeat(20_000)}\r\n`,
        "no colon\r\n",
      ),
      content: fc.oneof(bytes(200), fc.constantFrom("\r\n--b", "--b--", "\r\n--b\r\n")),
    }),
    { maxLength: 4 },
  )
  .map((parts) => {
    const written = parts.map(({ name, fileName, extra, content }) => {
      const disposition = `form-data; name="${name}"; filename="${Buffer.from(fileName).toString("latin1")}"`;
      return `--b\r\ncontent-disposition: ${disposition}\r\n${extra}\r\n${content}\r\n`;
    });
    return `${written.join("")}--b--\r\n`;
  });

function zipped(content: string): string {
  return gzipSync(Buffer.from(content, "latin1")).toString("latin1");
}

const compressed: Arbitrary<string> = fc.oneof(
  form.map(zipped),
  bytes(300).map(zipped),
  fc.constant(zipped("\0".repeat(1 << 20))),
);

const contentType: Arbitrary<string> = fc.oneof(
  { weight: 3, arbitrary: fc.constantFrom("multipart/form-data; boundary=b", "application/octet-stream") },
  {
    weight: 1,
    arbitrary: fc.constantFrom(
      "multipart/form-data",
      'multipart/form-data; boundary="',
      'multipart/form-data; boundary="b\\"',
      `multipart/form-data; boundary=${"b".repeat(80)}`,
      "multipart/form-data; boundary=\xff",
      "text/plain",
    ),
  },
);

const upload = fc.tuple(contentType, fc.oneof(mutated(form), form, mutated(compressed, 1), bytes(300)));
