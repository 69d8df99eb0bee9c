import { existsSync } from "node:fs";
import { WrennError } from "@wrenn/contracts";

/**
 * Adds the variables of `.env` in the working directory, if there is one, to the environment. What is set already
 * wins, also when it is set to nothing.
 */
export function loadEnvFile(path = ".env"): void {
  if (!existsSync(path)) return;
  try {
    process.loadEnvFile(path);
  } catch (cause) {
    throw new WrennError("config_invalid", `configuration: ${path} cannot be read`, { cause });
  }
}
