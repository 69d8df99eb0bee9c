import { type Static, Type } from "typebox";
import { capsuleStates } from "../capsule-state.ts";
import { timeoutActions } from "./capsule.ts";

export const HostParams = Type.Object({
  id: Type.String({ minLength: 1, maxLength: 64, description: "Id of the host." }),
});

export const RemoveHostQuery = Type.Object({
  force: Type.Enum(["true", "false"], {
    default: "false",
    description: "Also a silent host with capsules and snapshots. They end with it.",
  }),
});

export const CreateHostBody = Type.Object(
  {
    type: Type.Enum(["regular"], { default: "regular", description: "What the host is for." }),
  },
  { title: "CreateHost", additionalProperties: false },
);

export type CreateHostBody = Static<typeof CreateHostBody>;

/** `pending` has never registered; `unreachable` has not reported for a while. */
export const hostStatuses = ["pending", "online", "unreachable"] as const;

export type HostStatus = (typeof hostStatuses)[number];

export const Host = Type.Object(
  {
    id: Type.String(),
    type: Type.Enum(["regular"]),
    status: Type.Enum([...hostStatuses]),
    reason: Type.Optional(Type.String({ description: "Why the host is not used, in words." })),
    address: Type.Optional(Type.String({ description: "`IP:PORT` of its agent." })),
    arch: Type.Optional(Type.String()),
    cpu_cores: Type.Optional(Type.Integer()),
    memory_mb: Type.Optional(Type.Integer({ description: "MiB." })),
    disk_gb: Type.Optional(Type.Integer({ description: "GiB." })),
    agent_version: Type.Optional(Type.String()),
    last_heartbeat_at: Type.Optional(Type.String({ format: "date-time" })),
    created_at: Type.String({ format: "date-time" }),
    updated_at: Type.String({ format: "date-time" }),
  },
  { $id: "Host", title: "Host" },
);

export type Host = Static<typeof Host>;

export const HostList = Type.Array(Type.Ref("Host"));

/** A host and what its agent registers with, once, within an hour. */
export const HostWithToken = Type.Object(
  { host: Type.Ref("Host"), registration_token: Type.String() },
  { title: "HostWithToken" },
);

export type HostWithToken = { host: Host; registration_token: string };

const specs = {
  address: Type.String({
    maxLength: 262,
    description: "`IP:PORT` at which the control plane reaches the agent.",
  }),
  arch: Type.String({ maxLength: 32, description: "As Node.js names it: x64, arm64." }),
  cpu_cores: Type.Integer({ minimum: 1 }),
  memory_mb: Type.Integer({ minimum: 1, description: "MiB." }),
  disk_gb: Type.Integer({ minimum: 0, description: "GiB of the file system that holds WRENN_DIR." }),
  agent_version: Type.String({ maxLength: 64 }),
  sent_at: Type.String({ format: "date-time", description: "The host's clock." }),
};

export const RegisterHostBody = Type.Object(
  {
    token: Type.String({ maxLength: 512, description: "Registration token." }),
    csr_pem: Type.String({ maxLength: 8192, description: "PKCS #10 request; the key stays on the host." }),
    ...specs,
  },
  { title: "RegisterHost", additionalProperties: false },
);

export type RegisterHostBody = Static<typeof RegisterHostBody>;

export const HostCredentials = Type.Object(
  {
    host: Type.Ref("Host"),
    token: Type.String({ description: "Long-lived; sent as X-Host-Token." }),
    certificate_pem: Type.String(),
    ca_certificate_pem: Type.String(),
  },
  { title: "HostCredentials" },
);

export type HostCredentials = {
  host: Host;
  token: string;
  certificate_pem: string;
  ca_certificate_pem: string;
};

export const RenewCertificateBody = Type.Object(
  { csr_pem: Type.String({ maxLength: 8192 }) },
  { title: "RenewCertificate", additionalProperties: false },
);

export type RenewCertificateBody = Static<typeof RenewCertificateBody>;

export const HostCertificate = Type.Object(
  { certificate_pem: Type.String(), ca_certificate_pem: Type.String() },
  { title: "HostCertificate" },
);

export type HostCertificate = Static<typeof HostCertificate>;

/** A capsule as its host sees it. A capsule that has ended is reported as `stopped` until that is acknowledged. */
export const ReportedCapsule = Type.Object({
  id: Type.String({ maxLength: 64 }),
  state: Type.Enum([...capsuleStates]),
  reason: Type.Optional(Type.String({ maxLength: 64 })),
  /** For a person, what led to `error`: the VMM's last lines. */
  detail: Type.Optional(Type.String({ maxLength: 4096 })),
  /** What the control plane commanded. */
  generation: Type.Integer({ minimum: 0 }),
  /** What the agent observed; grows with every change of this capsule. */
  revision: Type.Integer({ minimum: 0 }),
  started_at: Type.Optional(Type.String({ format: "date-time" })),
  /** What it may do in time, as the host enforces it. */
  time_rules: Type.Optional(
    Type.Object({
      timeout_sec: Type.Integer({ minimum: 0 }),
      max_run_sec: Type.Integer({ minimum: 0 }),
      on_timeout: Type.Enum([...timeoutActions]),
    }),
  ),
  disk_size_mb: Type.Optional(Type.Integer({ minimum: 0 })),
  /** Versions of what it runs on, by the names that a capsule's `metadata` has. */
  versions: Type.Record(Type.String({ maxLength: 64 }), Type.String({ maxLength: 256 })),
});

export type ReportedCapsule = Static<typeof ReportedCapsule>;

/** What a host holds: everything, or what changed since the revision that was acknowledged last. */
export const HostReportBody = Type.Object(
  {
    ...specs,
    /** Grows with every start of the agent. A report of an earlier life is refused. */
    epoch: Type.Integer({ minimum: 1 }),
    /** Grows with every change on the host; begins anew with the epoch. */
    revision: Type.Integer({ minimum: 0 }),
    /** Absent: the report is the full set. Else it holds the changes after that revision. */
    base_revision: Type.Optional(Type.Integer({ minimum: 0 })),
    capsules: Type.Array(ReportedCapsule, { maxItems: 32768 }),
  },
  { title: "HostReport", additionalProperties: false },
);

export type HostReportBody = Static<typeof HostReportBody>;

export const HostReportAnswer = Type.Object(
  {
    /** Revision up to which the control plane knows everything. */
    acknowledged: Type.Integer(),
    /** True after a gap: the next report has to be the full set. After a full one it waits for the next heartbeat. */
    full_wanted: Type.Boolean(),
    /** Why the host gets no capsules although it reports, in words: its address answers as somebody else. */
    problem: Type.Optional(Type.String()),
  },
  { title: "HostReportAnswer" },
);

export type HostReportAnswer = Static<typeof HostReportAnswer>;
