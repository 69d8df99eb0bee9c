import { access, readFile } from "node:fs/promises";
import { join } from "node:path";
import { ApiClient } from "../api-client.ts";
import type { ClientConfig } from "../config.ts";

/**
 * A registration token for this machine's agent, or undefined when it is registered with this platform already. An
 * agent that is registered with another one, or with a database that is gone, registers anew.
 */
export async function registrationToken(
  wrennDir: string,
  target: ClientConfig,
  signal: AbortSignal,
): Promise<string | undefined> {
  const api = new ApiClient(target.url, target.apiKey);
  const hostId = await registeredHost(wrennDir);
  if (hostId !== undefined && (await api.hasHost(hostId, signal))) return undefined;
  return (await api.createHost(signal)).registration_token;
}

/** Id of the host that the agent has registered as: its token, which it writes last, tells that it has. */
async function registeredHost(wrennDir: string): Promise<string | undefined> {
  try {
    await access(join(wrennDir, "host-token"));
    const host: unknown = JSON.parse(await readFile(join(wrennDir, "host.json"), "utf8"));
    if (typeof host === "object" && host !== null && "host_id" in host) return String(host.host_id);
  } catch {
    // Not there or not readable: the agent says what is wrong with it, unless a new registration mends it.
  }
  return undefined;
}
