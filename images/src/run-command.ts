import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Readable } from "node:stream";
import { errnoOf, WrennError } from "@wrenn/contracts";
import { type Tool, toolPath, toolsMissing } from "./tools.ts";

export interface CommandOptions {
  cwd?: string;
  /** Given on standard input; without it the standard input is empty. */
  input?: string;
  signal?: AbortSignal | undefined;
}

/** Enough for any answer the build reads; what exceeds it is dropped from the front. */
const outputLimitBytes = 1 << 20;

/**
 * Runs a host tool, or a program by its absolute path, without a shell and resolves to its standard output.
 * Rejects with `image_missing` when the tool is absent or fails (the last line it wrote is in the message, the tail
 * of its standard error in the cause) and with the signal's reason when aborted.
 */
export async function runCommand(
  program: Tool | `/${string}`,
  args: readonly string[],
  options: CommandOptions = {},
): Promise<string> {
  const { signal } = options;
  signal?.throwIfAborted();
  const child = startCommand(program, args, options.cwd);
  // Everything a command makes is temporary, so it need not be asked to end in order.
  const kill = () => child.kill("SIGKILL");
  signal?.addEventListener("abort", kill, { once: true });
  try {
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    // A command that ends without reading its input breaks the pipe; its exit status says why.
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.input);
    const [status, killedBy] = await once(child, "close");
    signal?.throwIfAborted();
    if (status === 0) return stdout();
    throw commandFailed(program, status === null ? `signal ${killedBy}` : `status ${status}`, stderr());
  } catch (error) {
    throw errnoOf(error) === "ENOENT" ? toolsMissing([program], error) : error;
  } finally {
    signal?.removeEventListener("abort", kill);
  }
}

/** Starts a host tool with pipes on all three standard streams. */
export function startCommand(
  program: Tool | `/${string}`,
  args: readonly string[],
  cwd?: string,
): ChildProcess {
  return spawn(program, args, {
    cwd,
    stdio: "pipe",
    env: {
      ...process.env,
      PATH: toolPath(),
      LC_ALL: "C",
      DEBIAN_FRONTEND: "noninteractive",
    },
  });
}

function commandFailed(program: string, how: string, stderr: string): WrennError {
  const lastLine = stderr.trimEnd().split("\n").at(-1)?.trim().slice(0, 200) ?? "";
  const detail = lastLine === "" ? "" : `: ${lastLine.replace(/\.$/, "")}`;
  const cause = new Error(stderr.slice(-8192));
  return new WrennError(
    "image_missing",
    `Building the images failed, ${program} ended with ${how}${detail}.`,
    {
      cause,
    },
  );
}

function collect(stream: Readable | null): () => string {
  let text = "";
  stream?.setEncoding("utf8").on("data", (chunk: string) => {
    text = (text + chunk).slice(-outputLimitBytes);
  });
  return () => text;
}
