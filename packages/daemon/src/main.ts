import { WrennError } from "@wrenn/contracts";
import { loadEnvFile } from "./env-file.ts";

/**
 * Loads `.env`, runs a program's main function and ends the process with the code it returns. An error of the catalogue is one
 * sentence on stderr for the operator; anything else is a defect and keeps its stack.
 */
export async function runMain(main: () => Promise<number>): Promise<never> {
  try {
    loadEnvFile();
    process.exit(await main());
  } catch (error) {
    process.stderr.write(error instanceof WrennError ? `error: ${error.message}\n` : `${describe(error)}\n`);
    process.exit(1);
  }
}

function describe(error: unknown): string {
  return error instanceof Error ? (error.stack ?? error.message) : String(error);
}
