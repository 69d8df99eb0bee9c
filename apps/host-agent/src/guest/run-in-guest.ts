import { WrennError } from "@wrenn/contracts";
import { asUser, type GuestAgent } from "./guest-agent.ts";
import { fromGuestError } from "./guest-error.ts";

/** More than any program that the agent itself runs in a guest prints. */
const maxOutputBytes = 64 * 1024;

/**
 * Runs a short program of the agent's own in a guest and answers its standard output.
 *
 * @param user the guest's default one when absent.
 */
export async function runInGuest(
  guest: GuestAgent,
  cmd: string,
  args: string[],
  signal: AbortSignal,
  user?: string,
): Promise<string> {
  let output = "";
  try {
    for await (const { event } of guest.processes.start(
      { process: { cmd, args }, stdin: false },
      { headers: asUser(user), signal },
    )) {
      const body = event?.event;
      if (body?.case === "data" && body.value.output.case === "stdout" && output.length < maxOutputBytes) {
        output += Buffer.from(body.value.output.value).toString("utf8");
      }
      if (body?.case === "end") {
        if (body.value.exitCode === 0) return output;
        throw new WrennError("agent_error", `${cmd} ended with code ${body.value.exitCode} in the guest`);
      }
    }
  } catch (error) {
    throw fromGuestError(error);
  }
  throw new WrennError("agent_error", `the guest agent ended the stream of ${cmd} before the process`);
}
