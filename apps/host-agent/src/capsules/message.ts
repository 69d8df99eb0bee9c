import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Capsule as CapsuleMessage, CapsuleSchema } from "@wrenn/contracts/host";
import type { Capsule } from "./capsule.ts";

/** A capsule as the control plane reads it. */
export function toMessage(capsule: Capsule): CapsuleMessage {
  const { request, manifest } = capsule;
  return create(CapsuleSchema, {
    id: request.id,
    state: capsule.state,
    generation: request.generation,
    revision: capsule.revision,
    template: request.template,
    imageVersion: manifest?.imageVersion ?? "",
    vcpus: request.size.vcpus,
    memoryMib: request.size.memoryMib,
    reason: capsule.reason,
    kernelVersion: manifest?.kernelVersion ?? "",
    envdVersion: manifest?.envdVersion ?? "",
    vmm: manifest?.vmm ?? "",
    vmmVersion: manifest?.vmmVersion ?? "",
    ...(capsule.startedAt ? { startedAt: timestampFromDate(capsule.startedAt) } : {}),
  });
}
