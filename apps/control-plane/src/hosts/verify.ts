import { WrennError } from "@wrenn/contracts";
import type { Host } from "./host.ts";

const answerTimeoutMs = 5_000;

/**
 * Dials a host where it says it is. TLS proves who answers.
 *
 * @returns what is wrong, in words for the operator; undefined when the host itself answers.
 */
export async function addressProblem(host: Host): Promise<string | undefined> {
  try {
    await host.agent.call((client) => client.describeHost({}, { timeoutMs: answerTimeoutMs }));
    return undefined;
  } catch (error) {
    if (!(error instanceof WrennError)) throw error;
    if (error.code === "shutting_down") throw error;
    if (error.code !== "host_unavailable")
      return `${error.message}; give its --address, and see that no other answers there`;
    return `the control plane cannot reach the agent at ${host.agent.address}; open the port, or give another --address`;
  }
}
