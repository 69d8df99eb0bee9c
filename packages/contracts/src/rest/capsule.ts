import { type Static, Type } from "typebox";
import { capsuleStates, capsuleStatuses } from "../capsule-state.ts";
import { defaultMemoryMib, defaultVcpus, memoryMibChoices, vcpuChoices } from "../sizes.ts";

/** Names of templates: 1 to 64 letters, digits, dots, dashes and underscores. */
export const templateNamePattern = "^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$";

export const CapsuleParams = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 64, description: "Id of the capsule." }),
});

export const CreateCapsuleBody = Type.Object(
  {
    template: Type.String({
      pattern: templateNamePattern,
      default: "minimal",
      description: "Template to create from.",
    }),
    vcpus: Type.Integer({ default: defaultVcpus, description: `One of ${vcpuChoices.join(", ")}.` }),
    memory_mb: Type.Integer({
      default: defaultMemoryMib,
      description: `MiB, one of ${memoryMibChoices.join(", ")}.`,
    }),
    timeout_sec: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: 30 * 24 * 3600,
      description: "Seconds without activity after which the capsule is paused; 0 means never.",
    }),
  },
  { title: "CreateCapsule", additionalProperties: false },
);

export type CreateCapsuleBody = Static<typeof CreateCapsuleBody>;

export const Capsule = Type.Object(
  {
    id: Type.String(),
    status: Type.Enum([...capsuleStatuses], {
      description: "Coarse state, for clients that know eight of them.",
    }),
    state: Type.Enum([...capsuleStates], { description: "Fine state." }),
    reason: Type.Optional(Type.String({ description: "Machine-readable reason of `error` and `stopped`." })),
    detail: Type.Optional(
      Type.String({ description: "What led to `error`, for a person: the VMM's last lines." }),
    ),
    template: Type.String(),
    vcpus: Type.Integer(),
    memory_mb: Type.Integer({ description: "MiB." }),
    timeout_sec: Type.Integer(),
    created_at: Type.String({ format: "date-time" }),
    started_at: Type.Optional(Type.String({ format: "date-time" })),
    last_active_at: Type.Optional(Type.String({ format: "date-time" })),
    last_updated: Type.String({ format: "date-time" }),
    metadata: Type.Record(Type.String(), Type.String(), {
      description: "Versions: kernel_version, vmm, vmm_version, agent_version, envd_version.",
    }),
  },
  { $id: "Capsule", title: "Capsule" },
);

export type Capsule = Static<typeof Capsule>;

export const CapsuleList = Type.Array(Type.Ref("Capsule"));
