import type { Finding } from "@wrenn/contracts";
import { Cgroups } from "../confinement/cgroups.ts";
import type { Layout } from "../layout.ts";
import { probeInstance } from "./instance.ts";

/** Whether each machine can get a group with limits of its own: one is made, and removed. */
export async function probeCgroup(layout: Layout): Promise<Finding> {
  const name = "cgroup";
  const cgroups = await Cgroups.open(probeInstance(layout));
  if (cgroups instanceof Cgroups) {
    await cgroups[Symbol.asyncDispose]();
    return { name, status: "ok", detail: "v2, with limits on memory, processors and tasks of each machine" };
  }
  return {
    name,
    status: "warning",
    detail: `no limits on memory and processors of a machine: ${cgroups.unavailable}`,
    cure: "run as root on a host that was booted with systemd.unified_cgroup_hierarchy=1",
  };
}
