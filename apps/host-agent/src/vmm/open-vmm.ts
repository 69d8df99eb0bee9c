import { join } from "node:path";
import { WrennError } from "@wrenn/contracts";
import type { Logger } from "@wrenn/daemon";
import type { AgentConfig } from "../config.ts";
import type { Confiner } from "../confinement/confiner.ts";
import { OwnUser } from "../confinement/own-user.ts";
import { Walls } from "../confinement/walls.ts";
import { instanceOf, type Layout } from "../layout.ts";
import { findKernel } from "../templates/kernel.ts";
import type { Accelerator } from "./qemu/command-line.ts";
import { type KvmVerdict, probeKvm } from "./qemu/kvm-probe.ts";
import { QemuDriver, qemuBinary, qemuVersion } from "./qemu/qemu-driver.ts";
import { SimulatedDriver } from "./simulated/simulated-driver.ts";
import type { Vmm } from "./vmm.ts";

export interface VmmOptions {
  readonly config: AgentConfig;
  readonly layout: Layout;
  /** Owns what the driver needs as long as it starts machines. */
  readonly stack: AsyncDisposableStack;
  readonly logger: Logger;
  readonly signal: AbortSignal;
}

/** The driver that the configuration asks for; `auto` is KVM where a guest runs under it, else emulation. */
export async function openVmm({ config, layout, stack, logger, signal }: VmmOptions): Promise<Vmm> {
  if (config.vmm === "simulated") return new SimulatedDriver(config.envdBinary);
  const version = await qemuVersion();
  const isRoot = process.getuid?.() === 0;
  const walls = { instance: instanceOf(layout.root), handoverDir: layout.handover };
  const confiner = stack.use(isRoot ? await Walls.open(walls, signal) : new OwnUser());
  for (const sentence of confiner.missing) logger.warn(sentence);
  const accelerator = await chooseAccelerator(
    config.vmm,
    () => kvmVerdict(layout, version, confiner, signal),
    logger,
  );
  return await QemuDriver.open({ version, accelerator, network: isRoot ? "slot" : "passt", confiner });
}

async function chooseAccelerator(
  wanted: "auto" | "qemu-kvm" | "qemu-tcg",
  verdict: () => Promise<KvmVerdict>,
  logger: Logger,
): Promise<Accelerator> {
  if (wanted === "qemu-tcg") return "tcg";
  const { usable, reason } = await verdict();
  if (usable) return "kvm";
  if (wanted === "qemu-kvm") {
    throw new WrennError("vmm_missing", `WRENN_VMM is qemu-kvm, but ${reason}; set it to auto or qemu-tcg`);
  }
  logger.info({ reason }, "no KVM: machines are emulated");
  return "tcg";
}

/** Whether guests run under KVM here. The first call of a boot of the host starts one. */
export async function kvmVerdict(
  layout: Layout,
  version: string,
  confiner: Confiner,
  signal: AbortSignal,
): Promise<KvmVerdict> {
  const options = { binary: qemuBinary, qemuVersion: version, confiner, signal };
  try {
    const kernel = await findKernel(layout.kernels);
    return await probeKvm(join(layout.root, "cache", "kvm-probe.json"), { ...options, kernel });
  } catch (error) {
    if (!(error instanceof WrennError && error.code === "image_missing")) throw error;
    return { usable: false, reason: "there is no kernel to try KVM with" };
  }
}
