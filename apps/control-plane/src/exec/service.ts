import { randomBytes } from "node:crypto";
import { WrennError } from "@wrenn/contracts";
import type { ExecEvent } from "@wrenn/contracts/host";
import {
  type BackgroundProcess,
  defaultExecTimeoutSec,
  type ExecBody,
  type ExecResult,
  maxForegroundOutputBytes,
} from "@wrenn/contracts/rest";
import type { UsedCapsule } from "../capsules/use.ts";
import type { OpenStream } from "../hosts/agent-client.ts";
import { shellExitCode } from "./exit-code.ts";
import { BoundedOutput, encodeOutput } from "./output.ts";

/**
 * Runs a command to its end and answers what it wrote. An abort stops listening; the command goes on, until its
 * time is over.
 */
export async function runForeground(
  capsule: UsedCapsule,
  body: ExecBody,
  signal: AbortSignal,
): Promise<ExecResult> {
  const timeoutSec = body.timeout_sec || defaultExecTimeoutSec;
  const startedAt = performance.now();
  const stdout = new BoundedOutput(maxForegroundOutputBytes);
  const stderr = new BoundedOutput(maxForegroundOutputBytes);
  const finished = (exitCode: number): ExecResult => ({
    sandbox_id: capsule.id,
    cmd: body.cmd,
    ...encodeOutput(stdout, stderr),
    exit_code: exitCode,
    duration_ms: Math.round(performance.now() - startedAt),
  });
  try {
    const { rest } = await start(capsule, body, timeoutSec, signal);
    for await (const { event } of rest) {
      capsule.touch();
      if (event.case === "stdout") stdout.push(event.value);
      else if (event.case === "stderr") stderr.push(event.value);
      else if (event.case === "ended") return finished(shellExitCode(event.value));
    }
  } catch (error) {
    throw asTimeout(error, timeoutSec);
  }
  throw new WrennError("agent_error", "the host's answer ended before the command did");
}

/** Starts a command that goes on by itself, and answers how to find it. */
export async function runBackground(capsule: UsedCapsule, body: ExecBody): Promise<BackgroundProcess> {
  const tag = body.tag ?? `proc-${randomBytes(4).toString("hex")}`;
  const controller = new AbortController();
  try {
    const stream = await start(capsule, { ...body, tag }, body.timeout_sec ?? 0, controller.signal);
    return { sandbox_id: capsule.id, cmd: body.cmd, pid: stream.pid, tag };
  } finally {
    controller.abort(); // the process outlives its stream
  }
}

async function start(
  capsule: UsedCapsule,
  body: ExecBody,
  timeoutSec: number,
  signal: AbortSignal,
): Promise<OpenStream<ExecEvent> & { pid: number }> {
  const request = {
    capsuleId: capsule.id,
    cmd: body.cmd,
    args: body.args,
    envs: body.envs,
    timeoutMs: BigInt(timeoutSec) * 1000n,
    ...(body.cwd !== undefined && { cwd: body.cwd }),
    ...(body.user !== undefined && { user: body.user }),
    ...(body.tag !== undefined && { tag: body.tag }),
  };
  const stream = await capsule.host.agent.open((client) => client.exec(request, { signal }));
  if (stream?.first.event.case !== "started") {
    throw new WrennError("agent_error", "the host did not say that the command has started");
  }
  capsule.touch();
  return { ...stream, pid: stream.first.event.value.pid };
}

function asTimeout(error: unknown, timeoutSec: number): unknown {
  if (!(error instanceof WrennError) || error.code !== "deadline_exceeded") return error;
  const sentence = `the command ran longer than timeout_sec (${timeoutSec}) and was ended; give it more, or run it in the background`;
  return new WrennError("deadline_exceeded", sentence, { field: "timeout_sec", cause: error });
}
