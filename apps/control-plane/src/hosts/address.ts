import { isIP } from "node:net";
import { WrennError } from "@wrenn/contracts";
import { type ListenAddress, listenAddress } from "@wrenn/daemon";

/**
 * Parses where an agent can be reached: `10.0.0.5:50051`, `[fd00::5]:50051`.
 *
 * @throws {WrennError} `invalid_request`
 */
export function parseHostAddress(text: string): ListenAddress {
  const address = parsed(text);
  if (address && isIP(address.host) !== 0 && address.port > 0 && !isEveryAddress(address.host))
    return address;
  const sentence =
    "address must be IP:PORT at which the control plane reaches the agent, such as 10.0.0.5:50051";
  throw new WrennError("invalid_request", sentence, { field: "address" });
}

function parsed(text: string): ListenAddress | undefined {
  try {
    return listenAddress(text);
  } catch {
    return undefined;
  }
}

/** RFC 1122, section 3.2.1.3, and RFC 4291, section 2.5.2: not an address of anybody. */
function isEveryAddress(host: string): boolean {
  return /^[0.:]+$/.test(host);
}
