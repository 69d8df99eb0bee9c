import { GuardedSessions } from "@wrenn/daemon";

/** Notices a host that is gone without a word, also while nothing is asked of it. */
const keepAlive = { pingIntervalMs: 15_000, pingTimeoutMs: 10_000, pingIdleConnection: true };

/** The protocol's 64 KiB per stream would hold file transfers back, the more the farther the host is. */
const initialWindowSize = 1024 * 1024;

/** Keeps one HTTP/2 session to a host. */
export class HostSessions extends GuardedSessions {
  constructor(address: string) {
    super(address, keepAlive, { settings: { initialWindowSize } });
  }
}
