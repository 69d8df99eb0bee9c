import type { CapsuleState } from "@wrenn/contracts";
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
  state: CapsuleState;
  /** Counts what we commanded. */
  generation: ColumnType<bigint>;
  /** Counts what the agent observed. */
  revision: ColumnType<bigint>;
  /** Machine-readable reason of `error` and `stopped`. */
  reason: string | null;
  /** What led to `error`, for a person. */
  detail: string | null;
  /** The control plane that works on it while it is pending, starting or stopping. */
  operated_by: string | null;
  versions: ColumnType<CapsuleVersions, string | undefined, string>;
  created_at: Generated<Date>;
  started_at: Date | null;
  last_active_at: Date | null;
  updated_at: Generated<Date>;
}

export type CapsuleRow = Selectable<CapsulesTable>;
export type HostRow = Selectable<HostsTable>;
