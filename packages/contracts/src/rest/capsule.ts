import { type Static, Type } from "typebox";
import { capsuleStates, capsuleStatuses } from "../capsule-state.ts";
import { defaultMemoryMib, defaultVcpus, maxDiskMib, memoryMibChoices, vcpuChoices } from "../sizes.ts";

/** Names of templates: 1 to 64 letters, digits, dots, dashes and underscores. */
export const templateNamePattern = "^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$";

export const CapsuleParams = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 64, description: "Id of the capsule." }),
});

/** What is done when a capsule's time is over. */
export const timeoutActions = ["pause", "destroy"] as const;

export type TimeoutAction = (typeof timeoutActions)[number];

const longestSec = 30 * 24 * 3600;

const TimeoutSec = Type.Integer({
  minimum: 0,
  maximum: longestSec,
  description: "Seconds without activity after which `on_timeout` is done; 0 means never.",
});
const MaxRunSec = Type.Integer({
  minimum: 0,
  maximum: longestSec,
  description: "Seconds that the capsule may run before `on_timeout` is done; 0 means without end.",
});
const OnTimeout = Type.Enum([...timeoutActions], { description: "What is done when its time is over." });
const AutoResume = Type.Boolean({
  description: "Whether a request that needs the capsule resumes it when it is paused.",
});

/** Most entries of a capsule's metadata. */
export const maxMetadataEntries = 20;

const Metadata = Type.Record(Type.String(), Type.String({ maxLength: 512 }), {
  propertyNames: { pattern: "^[a-zA-Z0-9][a-zA-Z0-9._/-]{0,63}$" },
  maxProperties: maxMetadataEntries,
  description: "Anything, for whoever made it.",
});

export const CreateCapsuleBody = Type.Object(
  {
    template: Type.String({
      pattern: templateNamePattern,
      default: "minimal",
      description: "Template to create from.",
    }),
    vcpus: Type.Integer({
      default: 0,
      description: `One of ${vcpuChoices.join(", ")}. 0 means that of the snapshot, or ${defaultVcpus}.`,
    }),
    memory_mb: Type.Integer({
      default: 0,
      description: `MiB, one of ${memoryMibChoices.join(", ")}. 0 means that of the snapshot, or ${defaultMemoryMib}.`,
    }),
    disk_size_mb: Type.Integer({
      default: 0,
      minimum: 0,
      maximum: maxDiskMib,
      description: "MiB; not smaller than the template's disk. 0 means the size of that.",
    }),
    timeout_sec: { ...TimeoutSec, default: 0 },
    max_run_sec: { ...MaxRunSec, default: 0 },
    on_timeout: { ...OnTimeout, default: "pause" },
    auto_resume: { ...AutoResume, default: false },
    metadata: { ...Metadata, default: {} },
  },
  { title: "CreateCapsule", additionalProperties: false },
);

export type CreateCapsuleBody = Static<typeof CreateCapsuleBody>;

/** What can be changed of a capsule, whatever its state. */
export const UpdateCapsuleBody = Type.Object(
  {
    timeout_sec: Type.Optional(TimeoutSec),
    max_run_sec: Type.Optional(MaxRunSec),
    on_timeout: Type.Optional(OnTimeout),
    auto_resume: Type.Optional(AutoResume),
    metadata: Type.Optional(Metadata),
  },
  { title: "UpdateCapsule", additionalProperties: false, minProperties: 1 },
);

export type UpdateCapsuleBody = Static<typeof UpdateCapsuleBody>;

export const ResumeCapsuleBody = Type.Object(
  {
    from: Type.Enum(["memory", "disk"], {
      default: "memory",
      description: "`disk` starts its kernel anew, for a capsule whose memory is lost or cannot be restored.",
    }),
  },
  { title: "ResumeCapsule", additionalProperties: false },
);

export type ResumeCapsuleBody = Static<typeof ResumeCapsuleBody>;

/** Most capsules that one fork makes. */
export const maxForks = 32;

export const ForkCapsuleBody = Type.Object(
  {
    count: Type.Integer({ default: 1, minimum: 1, maximum: maxForks, description: "How many copies." }),
    metadata: Type.Optional(Metadata),
  },
  { title: "ForkCapsule", additionalProperties: false },
);

export type ForkCapsuleBody = Static<typeof ForkCapsuleBody>;

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
    disk_size_mb: Type.Optional(Type.Integer({ description: "MiB, once that is known." })),
    timeout_sec: TimeoutSec,
    max_run_sec: MaxRunSec,
    on_timeout: OnTimeout,
    auto_resume: AutoResume,
    created_at: Type.String({ format: "date-time" }),
    started_at: Type.Optional(Type.String({ format: "date-time" })),
    last_active_at: Type.Optional(Type.String({ format: "date-time" })),
    last_updated: Type.String({ format: "date-time" }),
    metadata: Type.Record(Type.String(), Type.String(), {
      description:
        "What it was given, and versions: image_version, kernel_version, vmm, vmm_version, agent_version, envd_version.",
    }),
  },
  { $id: "Capsule", title: "Capsule" },
);

export type Capsule = Static<typeof Capsule>;

export const CapsuleList = Type.Array(Type.Ref("Capsule"));
