import type { DescMethod } from "@bufbuild/protobuf";
import { Filesystem } from "@wrenn/contracts/filesystem";
import { Process } from "@wrenn/contracts/process";
import fc, { type Arbitrary } from "fast-check";
import { binaryMessage, message } from "./messages.ts";
import { bottomless, bytes, mutated } from "./mutation.ts";
import { header, request } from "./values.ts";

const headers = header({
  "connect-protocol-version": ["1", "2", ""],
  "connect-timeout-ms": ["0", "1", "300", "9999999999", "99999999999", "-1", "1.5"],
  "connect-content-encoding": ["identity", "gzip", "br"],
  "content-encoding": ["identity", "gzip", "br"],
  "connect-accept-encoding": ["gzip", "identity", "br, gzip"],
  "accept-encoding": ["gzip", "*"],
  "keepalive-ping-interval": ["0", "1", "-1", "18446744073709551615"],
  "wrenn-extensions": ["1", "2"],
  authorization: ["Basic dXNlcjo=", "Basic cm9vdDo=", "Basic Og==", "Basic", "Basic \xff", "Bearer x"],
  "grpc-timeout": ["1n", "99999999H", "0S"],
});

/** The kinds of content that a call is made in, whatever it carries. */
const contentTypes = [
  ...["application/json", "application/proto", "application/connect+json", "application/connect+proto"],
  ...[
    "application/grpc",
    "application/grpc+proto",
    "application/grpc-web+proto",
    "application/grpc-web-text",
  ],
  ...[
    "application/json; charset=utf-16",
    "text/plain",
    "",
    "application/connect+",
    "application/connect+json+gzip",
  ],
];

/** Nearly always one value. */
function rarely<A, B>(usual: A, other: Arbitrary<B>): Arbitrary<A | B> {
  return fc.oneof({ weight: 15, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other });
}

/** Requests to the methods of the two services, in both codecs: mostly well-formed, mostly not what belongs there. */
export function call(token: string): Arbitrary<string> {
  const methods = [...Object.values(Process.method), ...Object.values(Filesystem.method)];
  return fc.oneof(
    ...methods.flatMap((method) => [callOf(method, true, token), callOf(method, false, token)]),
  );
}

function callOf(method: DescMethod, json: boolean, token: string): Arbitrary<string> {
  const target = `/${method.parent.typeName}/${method.name}`;
  const usual = `application/${method.methodKind === "unary" ? "" : "connect+"}${json ? "json" : "proto"}`;
  const contentType = rarely(usual, fc.constantFrom(...contentTypes));
  const verb = rarely("POST", fc.constant("GET"));
  return fc
    .tuple(verb, contentType, fc.array(headers, { maxLength: 2 }), body(method, json))
    .map(([verb, kind, others, content]) => {
      const all = [["x-access-token", token], ["content-type", kind], ...others] as const;
      if (verb === "POST") return request(verb, target, all, content);
      const query = `connect=v1&encoding=json&message=${encodeURIComponent(content)}`;
      return request(verb, `${target}?${query}`, all, "");
    });
}

function body(method: DescMethod, json: boolean): Arbitrary<string> {
  const written = json
    ? message(method.input, false).map((value) => Buffer.from(JSON.stringify(value)).toString("latin1"))
    : binaryMessage(method.input);
  const payload = fc.oneof(
    { weight: 6, arbitrary: written },
    { weight: 6, arbitrary: mutated(written) },
    { weight: 2, arbitrary: bytes() },
    { weight: 1, arbitrary: bottomless },
  );
  switch (method.methodKind) {
    case "unary":
      return payload;
    case "server_streaming":
      return enveloped(payload, 1);
    default:
      return enveloped(payload, 3);
  }
}

/** Messages in envelopes, whose flags and lengths say what they like. */
function enveloped(payload: Arbitrary<string>, usual: number): Arbitrary<string> {
  const flags = rarely(0, fc.constantFrom(1, 2, 3, 0x80, 0xff));
  const length = rarely(
    (actual: number) => actual,
    fc.constantFrom(
      (actual: number) => actual + 1,
      (actual: number) => Math.max(0, actual - 1),
      () => 0xffff_ffff,
      () => 16 * 1024 * 1024,
    ),
  );
  const envelope = fc.tuple(flags, length, payload).map(([flag, said, content]) => {
    const head = Buffer.alloc(5);
    head.writeUInt8(flag);
    head.writeUInt32BE(said(content.length), 1);
    return head.toString("latin1") + content;
  });
  const count = rarely(usual, fc.nat(3));
  return count
    .chain((length) => fc.array(envelope, { minLength: length, maxLength: length }))
    .map((envelopes) => envelopes.join(""));
}
