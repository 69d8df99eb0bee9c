import { access } from "node:fs/promises";
import { writeFileAtomic } from "@wrenn/daemon";

/** What the owner needs to use the platform, for people and for scripts on this machine. */
export interface OwnerCredentials {
  email: string;
  /** Null when the account is older than the file: a password is stored nowhere. */
  password: string | null;
  team_id: string;
  api_key: string;
}

export async function hasOwnerFile(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

/** Written for its owner only. */
export async function writeOwnerFile(path: string, credentials: OwnerCredentials): Promise<void> {
  await writeFileAtomic(path, `${JSON.stringify(credentials, null, 2)}\n`, 0o600);
}

/** The block that is printed once, when the account is made. */
export function describeOwner(credentials: OwnerCredentials, path: string): string {
  return [
    "",
    "  Wrenn has made its owner's account. This is shown once.",
    "",
    `    email     ${credentials.email}`,
    `    password  ${credentials.password}`,
    `    API key   ${credentials.api_key}`,
    "",
    `  Kept in ${path}, readable by you alone.`,
    "",
    "",
  ].join("\n");
}
