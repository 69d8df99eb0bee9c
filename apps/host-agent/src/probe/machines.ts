import { type Finding, WrennError } from "@wrenn/contracts";
import type { AgentConfig } from "../config.ts";
import type { Confiner } from "../confinement/confiner.ts";
import { OwnUser } from "../confinement/own-user.ts";
import { Walls } from "../confinement/walls.ts";
import type { Layout } from "../layout.ts";
import { kvmVerdict } from "../vmm/open-vmm.ts";
import type { KvmVerdict } from "../vmm/qemu/kvm-probe.ts";
import { qemuVersion } from "../vmm/qemu/qemu-driver.ts";
import { probeInstance } from "./instance.ts";

export interface MachineProbe {
  readonly config: AgentConfig;
  readonly layout: Layout;
  readonly signal: AbortSignal;
}

/** VMM, KVM and confinement: which machines an agent would run here, and behind which walls. */
export async function probeMachines(options: MachineProbe): Promise<Finding[]> {
  if (options.config.vmm === "simulated") return [simulated];
  try {
    return await probeQemu(await qemuVersion(), options);
  } catch (error) {
    if (!(error instanceof WrennError && error.code === "vmm_missing")) throw error;
    const cure = "apt-get install qemu-system-x86 qemu-utils";
    return [
      { name: "VMM", status: "failing", detail: error.message, cure },
      { name: "KVM", status: "warning", detail: "cannot be tried without QEMU", cure },
      { name: "confinement", status: "warning", detail: "there is nothing to confine yet", cure },
    ];
  }
}

async function probeQemu(version: string, options: MachineProbe): Promise<Finding[]> {
  await using stack = new AsyncDisposableStack();
  const walls = await openWalls(options);
  if (!("confine" in walls)) {
    // No machine starts without its walls, so none can be tried.
    const verdict = { usable: false, reason: "machines cannot be confined, and none is run otherwise" };
    return [vmmFinding(version, verdict, options.config), kvmFinding(verdict), walls];
  }
  stack.use(walls);
  const verdict = await kvmVerdict(options.layout, version, walls, options.signal);
  return [vmmFinding(version, verdict, options.config), kvmFinding(verdict), confinementFinding(walls)];
}

/** The walls that machines are kept in, as an agent puts them up, or what keeps it from that. */
async function openWalls({ layout, signal }: MachineProbe): Promise<Confiner | Finding> {
  if (process.getuid?.() !== 0) return new OwnUser();
  try {
    return await Walls.open({ instance: probeInstance(layout) }, signal);
  } catch (error) {
    if (!(error instanceof WrennError)) throw error;
    const cure = "run as root, outside a container or in a privileged one";
    return { name: "confinement", status: "failing", detail: error.message, cure };
  }
}

function confinementFinding(walls: Confiner): Finding {
  const name = "confinement";
  if (walls instanceof OwnUser) {
    const detail = `no new privileges and a filter of system calls, and no more: ${walls.missing.join("; ")}`;
    return { name, status: "warning", detail, cure: "run as root" };
  }
  const detail = "a jail, and for each machine a user of its own and a filter of system calls";
  return { name, status: "ok", detail };
}

function vmmFinding(version: string, { usable }: KvmVerdict, { vmm }: AgentConfig): Finding {
  const name = "VMM";
  if (vmm === "qemu-kvm" && !usable) {
    const detail = "WRENN_VMM asks for qemu-kvm, and KVM does not run guests here";
    return { name, status: "failing", detail, cure: "set WRENN_VMM to auto or qemu-tcg" };
  }
  const chosen = vmm === "auto" ? `qemu-${usable ? "kvm" : "tcg"}` : vmm;
  const why = vmm === "auto" ? "the best that works here" : "asked for by WRENN_VMM";
  return { name, status: "ok", detail: `QEMU ${version} as ${chosen}, ${why}` };
}

function kvmFinding({ usable, reason }: KvmVerdict): Finding {
  if (usable) return { name: "KVM", status: "ok", detail: reason };
  return {
    name: "KVM",
    status: "warning",
    detail: `${reason}; capsules are emulated, which works everywhere and is several times slower`,
    cure: "use a host with virtualisation of its own, or nested, and load kvm_intel or kvm_amd",
  };
}

const simulated: Finding = {
  name: "VMM",
  status: "warning",
  detail:
    "the simulated driver, asked for by WRENN_VMM: capsules are processes of this host without any isolation",
  cure: "unset WRENN_VMM; that driver is for tests",
};
