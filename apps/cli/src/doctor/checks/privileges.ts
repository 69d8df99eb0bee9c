import type { Finding } from "@wrenn/contracts";

/** Who runs this. The agent's findings say what it makes of it. */
export async function checkPrivileges(uid = process.getuid?.()): Promise<Finding> {
  const name = "privileges";
  if (uid === 0) return { name, status: "ok", detail: "root" };
  return {
    name,
    status: "warning",
    detail:
      "not root; lost are networks of capsules' own, a user for each machine, the jail, cgroup limits and the firewall",
    cure: "run as root",
  };
}
