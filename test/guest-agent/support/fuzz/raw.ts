import fc, { type Arbitrary } from "fast-check";
import { bytes, mutated } from "./mutation.ts";

/** What comes over a connection that nobody has made sense of yet: HTTP/1.1, HTTP/2, and what is neither. */
export function raw(token: string): Arbitrary<string> {
  return fc.oneof(
    { weight: 1, arbitrary: bytes(300) },
    { weight: 4, arbitrary: mutated(textual(token), 6) },
    { weight: 4, arbitrary: binary(token) },
  );
}

function textual(token: string): Arbitrary<string> {
  const chunks = "5;x=y\r\nhello\r\n0\r\ntrailer: x\r\n\r\n";
  const lines = [`x-access-token: ${token}`, "host: guest"];
  const requests = [
    ["GET /health HTTP/1.1", ...lines, "", ""],
    ["GET /health HTTP/1.0", "", ""],
    ["GET http://guest/metrics HTTP/1.1", ...lines, "", ""],
    [
      "POST /files?path=/tmp/raw HTTP/1.1",
      ...lines,
      "content-type: application/octet-stream",
      "content-length: 5",
      "",
      "hello",
    ],
    [
      "POST /files?path=/tmp/raw HTTP/1.1",
      ...lines,
      "content-type: application/octet-stream",
      "transfer-encoding: chunked",
      "",
      chunks,
    ],
    // Closes whatever has nothing to do, and so other conversations before they begin.
    ["POST /snapshot/prepare HTTP/1.1", ...lines, "content-length: 0", "", ""],
    ["POST /init HTTP/1.1", ...lines, "expect: 100-continue", "content-length: 2", "", "{}"],
    [
      "POST /process.Process/List HTTP/1.1",
      ...lines,
      "content-type: application/json",
      "content-length: 2",
      "",
      "{}",
    ],
    [
      "GET /health HTTP/1.1",
      ...lines,
      "connection: upgrade, http2-settings",
      "upgrade: h2c",
      "http2-settings: AAMAAABk",
      "",
      "",
    ],
    ["GET /health HTTP/1.1", ...lines, ...Array.from({ length: 120 }, (_, index) => `x-${index}: y`), "", ""],
    ["GET /health HTTP/1.1", ...lines, `x: ${"y".repeat(500_000)}`, "", ""],
  ].map((request) => request.join("\r\n"));
  return fc.array(fc.constantFrom(...requests), { minLength: 1, maxLength: 3 }).map((list) => list.join(""));
}

const preface = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";

function frame(type: number, flags: number, stream: number, payload: string): string {
  const head = Buffer.alloc(9);
  head.writeUIntBE(payload.length, 0, 3);
  head.writeUInt8(type, 3);
  head.writeUInt8(flags, 4);
  head.writeUInt32BE(stream, 5);
  return head.toString("latin1") + payload;
}

/** A header block of fields that are written out (RFC 7541 section 6.2.2). */
function block(fields: ReadonlyArray<readonly [string, string]>): string {
  const spelled = (text: string): string => String.fromCharCode(text.length) + text;
  return fields.map(([name, value]) => `\0${spelled(name)}${spelled(value)}`).join("");
}

/** An HTTP/2 connection of good and bad frames in any order. */
function binary(token: string): Arbitrary<string> {
  const asking = (method: string, path: string, ...others: [string, string][]): string =>
    block([
      [":method", method],
      [":scheme", "http"],
      [":authority", "guest"],
      [":path", path],
      ["x-access-token", token],
      ...others,
    ]);
  const headers = fc
    .tuple(
      fc.constantFrom(
        asking("GET", "/health"),
        asking("GET", "/metrics"),
        asking("CONNECT", "/tunnel/49983"),
        asking("POST", "/tunnel/49983"),
        asking("POST", "/process.Process/List", ["content-type", "application/json"]),
        asking("POST", "/process.Process/StreamInput", ["content-type", "application/connect+proto"]),
        asking("POST", "/files?path=/tmp/raw", ["content-type", "application/octet-stream"]),
        asking("POST", "/files?path=/tmp/raw", ["content-length", "7"], ["connection", "close"]),
      ),
      fc.constantFrom(0x4, 0x5, 0x5, 0x0, 0x2c),
      fc.constantFrom(1, 3, 5, 2, 0),
    )
    .map(([fields, flags, stream]) => frame(1, flags, stream, fields));
  const data = fc
    .tuple(bytes(), fc.constantFrom(0, 1, 8), fc.constantFrom(1, 3, 5, 0))
    .map(([payload, flags, stream]) => frame(0, flags, stream, payload));
  const any = fc
    .tuple(fc.nat(12), fc.nat(255), fc.constantFrom(0, 1, 3, 2 ** 31), bytes(40))
    .map(([type, flags, stream, payload]) => frame(type, flags, stream, payload));
  const frames = fc.array(fc.oneof({ weight: 3, arbitrary: headers }, data, any), { maxLength: 8 });
  return mutated(
    frames.map((list) => preface + frame(4, 0, 0, "") + list.join("")),
    2,
  );
}
