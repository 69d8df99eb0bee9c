import { WrennError } from "@wrenn/contracts";
import type { Capsule, CapsuleCommand } from "./capsule.ts";
import { noteCommand, requireState } from "./commands.ts";
import { explain, hostError } from "./host-error.ts";
import type { HostParts } from "./host-parts.ts";
import { release } from "./release.ts";

/** Moves a paused capsule to the archive. What fails leaves it paused. */
export async function hibernateCapsule(
  capsule: Capsule,
  command: CapsuleCommand,
  parts: HostParts,
): Promise<void> {
  if (capsule.state === "hibernated") return noteCommand(capsule, command);
  requireState(capsule, command, ["paused"]);
  const { operation, generation } = command;
  const began = performance.now();
  capsule.move({ step: "hibernate", operation, generation });
  try {
    await put(capsule, parts);
  } catch (error) {
    capsule.move({ step: "stayed", state: "paused", ...explain(error) });
    await release(capsule, ["archive"], parts);
    throw hostError(error);
  }
  capsule.move({ step: "hibernated" });
  await capsule.sync();
  await release(capsule, ["snapshot"], parts);
  parts.logger.info({ hibernateMs: Math.round(performance.now() - began) }, "capsule hibernated");
}

async function put({ id, record: { snapshot } }: Capsule, { archive, signal }: HostParts): Promise<void> {
  if (snapshot !== undefined) return await archive.put(snapshot, signal);
  throw new WrennError("snapshot_corrupt", `capsule ${id} is paused and names no snapshot`);
}
