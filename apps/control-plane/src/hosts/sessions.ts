import { connect as connectTls } from "node:tls";
import { GuardedSessions } from "@wrenn/daemon";
import type { Authority } from "../authority/authority.ts";
import { hostName } from "../authority/names.ts";
import { parseHostAddress } from "./address.ts";

/** Notices a host that is gone without a word, also while nothing is asked of it. */
const keepAlive = { pingIntervalMs: 15_000, pingTimeoutMs: 10_000, pingIdleConnection: true };

/** The protocol's 64 KiB per stream would hold file transfers back, the more the farther the host is. */
const initialWindowSize = 1024 * 1024;

/**
 * Keeps one HTTP/2 session to a host, over TLS 1.3. Each connection shows the certificate that we have then, and is
 * made only to a peer whose certificate is of our authority and of this host, wherever it is.
 */
export class HostSessions extends GuardedSessions {
  constructor(hostId: string, address: string, authority: Authority) {
    const { host, port } = parseHostAddress(address);
    super(`https://${address}`, keepAlive, {
      settings: { initialWindowSize },
      createConnection: () =>
        connectTls({
          host,
          port,
          servername: hostName(hostId),
          secureContext: authority.clientContext,
          ALPNProtocols: ["h2"],
        }),
    });
  }
}
