import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Capsule as CapsuleMessage, CapsuleSchema } from "@wrenn/contracts/host";
import type { Capsule } from "./capsule.ts";

/** A capsule as the control plane gets it in answer to a command. */
export function toMessage(capsule: Capsule): CapsuleMessage {
  const { request, versions, startedAt } = capsule;
  return create(CapsuleSchema, {
    id: request.id,
    state: capsule.state,
    generation: BigInt(capsule.generation),
    revision: BigInt(capsule.revision),
    template: request.template,
    ...versions,
    vcpus: request.size.vcpus,
    memoryMib: request.size.memoryMib,
    reason: capsule.reason,
    ...(startedAt && { startedAt: timestampFromDate(new Date(startedAt)) }),
  });
}
