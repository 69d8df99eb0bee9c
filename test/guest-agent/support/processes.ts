import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CallOptions } from "@connectrpc/connect";
import { Code, ConnectError } from "@connectrpc/connect";
import type { ConnectRequestSchema } from "@wrenn/contracts/process";
import { expect } from "vitest";
import { Followed } from "./followed.ts";
import type { Caller, Guest } from "./guest.ts";

/** A process to start; unlike the wire's own default, stdin is closed unless it is asked for. */
export interface Start {
  readonly envs?: Record<string, string>;
  readonly cwd?: string;
  readonly stdin?: boolean;
  readonly tag?: string;
  readonly pty?: { readonly size?: { readonly cols: number; readonly rows: number } };
}

/** Starts a program, or a line of the shell's, and follows it. */
export function start(
  guest: Guest,
  command: string | readonly [string, ...string[]],
  { envs = {}, cwd, ...request }: Start = {},
  caller: Caller = {},
  options: CallOptions = {},
): Followed {
  const [cmd, ...args] = typeof command === "string" ? ["/bin/sh", "-c", command] : command;
  const process = { cmd, args, envs, ...(cwd === undefined ? {} : { cwd }) };
  return new Followed(guest.as(caller).processes.start({ stdin: false, ...request, process }, options));
}

/** Follows a process that was started elsewhere. */
export function connect(
  guest: Guest,
  pid: number,
  from?: MessageInitShape<typeof ConnectRequestSchema>["from"],
  caller: Caller = {},
  options: CallOptions = {},
): Followed {
  const request = { process: byPid(pid), ...(from === undefined ? {} : { from }) };
  return new Followed(guest.as(caller).processes.connect(request, options));
}

/** Selects a process. */
export function byPid(pid: number): { selector: { case: "pid"; value: number } } {
  return { selector: { case: "pid", value: pid } };
}

export function byTag(tag: string): { selector: { case: "tag"; value: string } } {
  return { selector: { case: "tag", value: tag } };
}

/** Bytes for the standard input, or the terminal, of a process. */
export function input(
  kind: "stdin" | "pty",
  text: string | Uint8Array,
): {
  input: { case: "stdin" | "pty"; value: Uint8Array };
} {
  return { input: { case: kind, value: typeof text === "string" ? Buffer.from(text) : text } };
}

/** Expects a call to be refused with a code, or one of some, and its message to name what is wrong. */
export async function expectRefusal(call: Promise<unknown>, code: Code | Code[], names = ""): Promise<void> {
  const error = await call.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  const codes = [code].flat().map((expected) => Code[expected]);
  expect(error, `${codes}: ${names}`).toBeInstanceOf(ConnectError);
  const { code: found, rawMessage } = error as ConnectError;
  expect(`${Code[found]}: ${rawMessage}`).toMatch(new RegExp(`^(${codes.join("|")}): .*${names}`, "s"));
}
