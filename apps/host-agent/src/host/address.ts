import { isIPv6 } from "node:net";
import { WrennError } from "@wrenn/contracts";
import { type AgentConfig, isEveryAddress } from "../config.ts";
import { isLocalUrl } from "../registration/control-plane-url.ts";

/**
 * `IP:PORT` at which the control plane reaches this agent: what it was told, else where it listens, else what it
 * registered with.
 *
 * @param port the one it listens on.
 * @throws {WrennError} `config_invalid` when none is known.
 */
export function reachableAddress(
  config: Pick<AgentConfig, "address" | "listen" | "controlPlaneUrl">,
  port: number,
  registered: string | undefined,
): string {
  const { address, listen, controlPlaneUrl } = config;
  if (address !== undefined) return address;
  if (!isEveryAddress(listen.host)) return join(listen.host, port);
  if (registered !== undefined) return registered;
  if (isLocalUrl(controlPlaneUrl)) return join("127.0.0.1", port);
  throw new WrennError(
    "config_invalid",
    "this agent listens on every address; say with --address IP:PORT at which one the control plane reaches it",
  );
}

function join(host: string, port: number): string {
  const dialled = host === "localhost" ? "127.0.0.1" : host;
  return `${isIPv6(dialled) ? `[${dialled}]` : dialled}:${port}`;
}
