import { spawn } from "node:child_process";
import { errnoOf, WrennError } from "@wrenn/contracts";

export interface RunOptions {
  signal?: AbortSignal | undefined;
  cwd?: string | undefined;
  env?: NodeJS.ProcessEnv | undefined;
  /** Written to standard input, which is otherwise empty. */
  input?: string | Uint8Array | undefined;
}

export interface CommandOutput {
  stdout: string;
  stderr: string;
}

/** A command that ended with a code other than 0. `message` names the command and ends with its last words. */
export class CommandFailed extends Error {
  readonly exitCode: number | null;
  readonly stderr: string;

  constructor(command: string, exitCode: number | null, signal: string | null, stderr: string) {
    const how = exitCode === null ? `was ended by ${signal}` : `ended with code ${exitCode}`;
    super(`${command} ${how}${stderr ? `: ${stderr.trim().slice(-600)}` : ""}`);
    this.name = "CommandFailed";
    this.exitCode = exitCode;
    this.stderr = stderr;
  }
}

const maxOutputBytes = 4 * 1024 * 1024;

/**
 * Runs a program to its end, without a shell.
 *
 * @throws {WrennError} `vmm_missing` when the program is not installed.
 * @throws {CommandFailed} when it ends with a code other than 0.
 */
export function runCommand(
  command: string,
  args: readonly string[],
  options: RunOptions = {},
): Promise<CommandOutput> {
  return new Promise((resolve, reject) => {
    const child = spawn(command, args, {
      cwd: options.cwd,
      env: options.env,
      signal: options.signal,
      stdio: [options.input === undefined ? "ignore" : "pipe", "pipe", "pipe"],
    });
    const stdout = collect(child.stdout);
    const stderr = collect(child.stderr);
    child.once("error", (error) => reject(spawnError(command, error)));
    child.once("close", (code, signal) => {
      if (code === 0) resolve({ stdout: stdout(), stderr: stderr() });
      else reject(new CommandFailed(command, code, signal, stderr()));
    });
    // A program may end before it has read its input; its exit code says what that means.
    child.stdin?.on("error", () => {});
    child.stdin?.end(options.input);
  });
}

function collect(stream: NodeJS.ReadableStream | null): () => string {
  const chunks: Buffer[] = [];
  let length = 0;
  stream?.on("data", (chunk: Buffer) => {
    if (length < maxOutputBytes) chunks.push(chunk);
    length += chunk.length;
  });
  return () => Buffer.concat(chunks).toString("utf8");
}

function spawnError(command: string, error: Error): Error {
  if (errnoOf(error) !== "ENOENT") return error;
  return new WrennError("vmm_missing", `${command} is not installed; run \`make install\``, { cause: error });
}
