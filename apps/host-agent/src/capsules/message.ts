import { create } from "@bufbuild/protobuf";
import { timestampFromDate } from "@bufbuild/protobuf/wkt";
import { type Capsule as CapsuleMessage, CapsuleSchema } from "@wrenn/contracts/host";
import type { Capsule } from "./capsule.ts";
import { diskMibOf } from "./disk-size.ts";

/** A capsule as the control plane gets it in answer to a command. */
export function toMessage(capsule: Capsule): CapsuleMessage {
  const { id, template, size, versions, startedAt, record } = capsule;
  return create(CapsuleSchema, {
    id,
    state: capsule.state,
    generation: BigInt(capsule.generation),
    revision: BigInt(capsule.revision),
    template,
    ...versions,
    vcpus: size.vcpus,
    memoryMib: size.memoryMib,
    reason: capsule.reason,
    ...(startedAt && { startedAt: timestampFromDate(new Date(startedAt)) }),
    ...(record.diskBytes !== undefined && { diskMib: diskMibOf(record.diskBytes) }),
    timeRules: capsule.time.rules,
  });
}
