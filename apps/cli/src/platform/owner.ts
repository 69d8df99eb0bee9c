import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { WrennError } from "@wrenn/contracts";

/** The account that the control plane made at its first start. */
export interface Owner {
  readonly email: string;
  readonly apiKey: string;
}

/** Reads the owner's account from the file that the control plane keeps below `$WRENN_DIR`. */
export async function readOwner(wrennDir: string): Promise<Owner> {
  const path = join(wrennDir, "owner.json");
  const value: unknown = JSON.parse(await readFile(path, "utf8"));
  if (typeof value === "object" && value !== null && "email" in value && "api_key" in value) {
    return { email: String(value.email), apiKey: String(value.api_key) };
  }
  throw new WrennError(
    "config_invalid",
    `${path} is not an owner file; remove it, and a new API key is issued`,
  );
}
