import type { CapsuleAnswer } from "@wrenn/contracts/host";
import type { Command } from "./command.ts";

/** As much memory as the guest has changed is written to the host's disk. */
const pauseTimeoutMs = 5 * 60_000;
/** A capsule that starts from its disk boots a kernel, maybe in software emulation; a hibernated one is fetched. */
const resumeTimeoutMs = 10 * 60_000;
/** All of its memory and disk is compressed, and written to an archive that may be far away. */
const hibernateTimeoutMs = 30 * 60_000;

export const pauseCommand: Command<CapsuleAnswer> = {
  operation: "pause",
  goals: ["paused"],
  timeoutMs: pauseTimeoutMs,
  send: (client, request, options) => client.pauseCapsule(request, options),
};

export const hibernateCommand: Command<CapsuleAnswer> = {
  operation: "hibernate",
  goals: ["hibernated"],
  timeoutMs: hibernateTimeoutMs,
  send: (client, request, options) => client.hibernateCapsule(request, options),
};

/** @param fromDisk starts its kernel anew on its disk, without the memory. */
export function resumeCommand(fromDisk: boolean): Command<CapsuleAnswer> {
  return {
    operation: "resume",
    goals: ["running"],
    timeoutMs: resumeTimeoutMs,
    send: (client, request, options) => client.resumeCapsule({ ...request, fromDisk }, options),
  };
}
