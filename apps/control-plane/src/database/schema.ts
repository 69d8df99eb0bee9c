import type { CapsuleState } from "@wrenn/contracts";
import type { ColumnType, Generated, Selectable } from "kysely";

/** The tables, as the migrations make them. `int8` is a bigint here. */
export interface Schema {
  users: UsersTable;
  teams: TeamsTable;
  team_members: TeamMembersTable;
  api_keys: ApiKeysTable;
  hosts: HostsTable;
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

interface HostsTable {
  id: string;
  /** URL of its agent. */
  address: string;
  created_at: Generated<Date>;
  updated_at: Generated<Date>;
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
  versions: ColumnType<CapsuleVersions, string | undefined, string>;
  created_at: Generated<Date>;
  started_at: Date | null;
  last_active_at: Date | null;
  updated_at: Generated<Date>;
}

export type CapsuleRow = Selectable<CapsulesTable>;
export type HostRow = Selectable<HostsTable>;
