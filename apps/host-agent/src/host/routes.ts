import type { ServiceImpl } from "@connectrpc/connect";
import type { HostService } from "@wrenn/contracts/host";
import { wrennVersion } from "@wrenn/daemon";
import type { TemplateStore } from "../templates/template-store.ts";
import type { Vmm } from "../vmm/vmm.ts";

/** What this host is and what it runs with. */
export function hostRoutes(
  vmm: Vmm,
  templates: TemplateStore,
  epoch: string,
): Pick<ServiceImpl<typeof HostService>, "describeHost"> {
  return {
    async describeHost() {
      return {
        epoch,
        vmm: vmm.name,
        vmmVersion: vmm.version,
        agentVersion: wrennVersion,
        templates: await templates.list(),
      };
    },
  };
}
