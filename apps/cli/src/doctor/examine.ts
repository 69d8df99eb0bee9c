import type { Finding } from "@wrenn/contracts";
import type { CliConfig } from "../config.ts";
import type { Check } from "./check.ts";
import { checkAgent } from "./checks/agent.ts";
import { checkClock } from "./checks/clock.ts";
import { checkDatabase } from "./checks/database.ts";
import { checkDiskSpace } from "./checks/disk-space.ts";
import { checkForwarding } from "./checks/forwarding.ts";
import { checkGuestAgent } from "./checks/guest-agent.ts";
import { checkNftables } from "./checks/nftables.ts";
import { checkPorts } from "./checks/ports.ts";
import { checkPrivileges } from "./checks/privileges.ts";
import { checkPrograms } from "./checks/programs.ts";
import { checkReflink } from "./checks/reflink.ts";
import { checkTun } from "./checks/tun.ts";

/** In the order in which they are shown. The agent answers for several requirements at once. */
const checks: Readonly<Record<string, Check>> = {
  privileges: () => checkPrivileges(),
  programs: checkPrograms,
  "host agent": checkAgent,
  TUN: withRoot("TUN", () => checkTun()),
  nftables: withRoot("nftables", checkNftables),
  forwarding: withRoot("forwarding", checkForwarding),
  "disk space": checkDiskSpace,
  reflink: checkReflink,
  "guest agent": checkGuestAgent,
  ports: checkPorts,
  database: checkDatabase,
  clock: (context) => checkClock(context),
};

const checkTimeoutMs = 30_000;

/** Looks at every requirement of this machine. A check that breaks is a finding, not the end. */
export async function examine(
  config: CliConfig,
  env: NodeJS.ProcessEnv,
  signal: AbortSignal,
): Promise<Finding[]> {
  const bounded = () => AbortSignal.any([signal, AbortSignal.timeout(checkTimeoutMs)]);
  const found = await Promise.all(
    Object.entries(checks).map(([name, check]) =>
      check({ config, env, signal: bounded() }).catch((error: unknown) => broken(name, error)),
    ),
  );
  signal.throwIfAborted();
  return found.flat();
}

/** What networks of capsules' own need, which only root can make. */
function withRoot(name: string, check: Check): Check {
  if (process.getuid?.() === 0) return check;
  return async () => ({ name, status: "ok", detail: "not used without root" });
}

function broken(name: string, error: unknown): Finding {
  const detail = `could not be checked: ${error instanceof Error ? error.message : error}`;
  return { name, status: "failing", detail };
}
