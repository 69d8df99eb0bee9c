import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { WrennError } from "@wrenn/contracts";

/** The account that the control plane made at its first start. */
export interface Owner {
  readonly email: string;
  readonly apiKey: string;
}

/** Where the control plane of a data directory keeps it. */
export function ownerFileOf(wrennDir: string): string {
  return join(wrennDir, "owner.json");
}

/** Reads the owner's account. */
export async function readOwner(path: string): Promise<Owner> {
  const value: unknown = JSON.parse(await readFile(path, "utf8"));
  if (typeof value === "object" && value !== null && "email" in value && "api_key" in value) {
    return { email: String(value.email), apiKey: String(value.api_key) };
  }
  throw new WrennError(
    "config_invalid",
    `${path} is not an owner file; remove it, and a new API key is issued`,
  );
}
