import type { CapsuleState } from "@wrenn/contracts";
import type { TimeoutAction } from "@wrenn/contracts/rest";
import type { ColumnType, Generated, Selectable } from "kysely";

/** The tables, as the migrations make them. `int8` is a bigint here. */
export interface Schema {
  users: UsersTable;
  teams: TeamsTable;
  team_members: TeamMembersTable;
  api_keys: ApiKeysTable;
  platform_authority: PlatformAuthorityTable;
  control_planes: ControlPlanesTable;
  hosts: HostsTable;
  registration_tokens: RegistrationTokensTable;
  capsules: CapsulesTable;
  capsule_transitions: CapsuleTransitionsTable;
  snapshots: SnapshotsTable;
  idempotency_keys: IdempotencyKeysTable;
}

interface UsersTable {
  id: string;
  email: string;
  /** Argon2id, in PHC string format. */
  password_hash: string;
  created_at: Generated<Date>;
}

interface TeamsTable {
  id: string;
  name: string;
  /** Whether its keys open what belongs to the platform. True for one team. */
  platform: Generated<boolean>;
  created_at: Generated<Date>;
}

interface TeamMembersTable {
  team_id: string;
  user_id: string;
  role: "owner" | "admin" | "member";
  created_at: Generated<Date>;
}

interface ApiKeysTable {
  id: string;
  team_id: string;
  created_by: string | null;
  name: string;
  /** SHA-256 of the key as we spell it. The key itself is stored nowhere. */
  key_hash: Buffer;
  created_at: Generated<Date>;
  last_used_at: Date | null;
}

interface PlatformAuthorityTable {
  /** True: there is one row. */
  singleton: Generated<boolean>;
  certificate_pem: string;
  sealed_key: Buffer;
  created_at: Generated<Date>;
}

interface ControlPlanesTable {
  id: string;
  started_at: Generated<Date>;
  seen_at: Generated<Date>;
}

interface HostsTable {
  id: string;
  type: Generated<"regular">;
  /** `IP:PORT` of its agent, as it told last. */
  address: string | null;
  /** Whether the agent at the address has proven to be this host. */
  address_verified: Generated<boolean>;
  arch: string | null;
  cpu_cores: number | null;
  memory_mib: number | null;
  disk_gib: number | null;
  agent_version: string | null;
  /** SHA-256 of the host token. */
  token_hash: Buffer | null;
  registered_at: Date | null;
  report_epoch: bigint | null;
  /** Null: a full report is wanted. */
  report_revision: bigint | null;
  last_report_at: Date | null;
  /** Why the host gets no capsules although it reports. */
  problem: string | null;
  created_at: Generated<Date>;
  updated_at: Generated<Date>;
}

interface RegistrationTokensTable {
  /** SHA-256 of the token's text. */
  token_hash: Buffer;
  host_id: string;
  created_at: Generated<Date>;
  expires_at: Date;
  used_at: Date | null;
}

/** Versions of what a capsule runs on, by name. */
export type CapsuleVersions = Record<string, string>;

interface CapsulesTable {
  id: string;
  team_id: string;
  /** Null until the capsule is placed. */
  host_id: string | null;
  template: string;
  vcpus: number;
  memory_mib: number;
  timeout_sec: number;
  max_run_sec: Generated<number>;
  on_timeout: Generated<TimeoutAction>;
  auto_resume: Generated<boolean>;
  metadata: ColumnType<Record<string, string>, string | undefined, string>;
  /** Null: the template's, until the host has told. */
  disk_mib: number | null;
  /** The snapshot that it was created from, if its template is one. That may be gone. */
  snapshot_id: string | null;
  /** The capsule that it is a copy of. */
  forked_from: string | null;
  state: CapsuleState;
  /** Counts what we commanded. */
  generation: ColumnType<bigint>;
  /** Counts what the agent observed. */
  revision: ColumnType<bigint>;
  /** Machine-readable reason of `error` and `stopped`. */
  reason: string | null;
  /** What led to `error`, for a person. */
  detail: string | null;
  /** The control plane that works on it while a command is under way. */
  operated_by: string | null;
  versions: ColumnType<CapsuleVersions, string | undefined, string>;
  created_at: Generated<Date>;
  started_at: Date | null;
  last_active_at: Date | null;
  updated_at: Generated<Date>;
}

interface CapsuleTransitionsTable {
  id: ColumnType<bigint, never, never>;
  capsule_id: string;
  /** Null: it was made. */
  from_state: CapsuleState | null;
  to_state: CapsuleState;
  reason: string | null;
  generation: bigint;
  at: Generated<Date>;
}

interface SnapshotsTable {
  id: string;
  team_id: string;
  name: string;
  host_id: string;
  /** What it was taken of. That may be gone. */
  capsule_id: string;
  /** The image below it. */
  template: string;
  vcpus: number;
  memory_mib: number;
  disk_mib: number | null;
  size_bytes: bigint | null;
  state: "creating" | "ready" | "deleting";
  /** The control plane that works on it while it is creating or deleting. */
  operated_by: string | null;
  created_at: Generated<Date>;
  updated_at: Generated<Date>;
}

interface IdempotencyKeysTable {
  team_id: string;
  key: string;
  /** SHA-256 of method, URL and body. */
  request_hash: Buffer;
  /** The control plane that works on the request. An answer ends that. */
  operated_by: string | null;
  status: number | null;
  /** As it was sent. */
  body: string | null;
  /** Ids of what the request makes. */
  made: string[] | null;
  created_at: Generated<Date>;
}

export type SnapshotRow = Selectable<SnapshotsTable>;
export type CapsuleRow = Selectable<CapsulesTable>;
export type IdempotencyKeyRow = Selectable<IdempotencyKeysTable>;
export type HostRow = Selectable<HostsTable>;
