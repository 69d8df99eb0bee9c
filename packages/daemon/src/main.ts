import { WrennError } from "@wrenn/contracts";
import { loadEnvFile } from "./env-file.ts";
import { describeVersion } from "./version.ts";

/**
 * Loads `.env`, runs a program's main function and ends the process with the code it returns. An error of the catalogue is one
 * sentence on stderr for the operator; anything else is a defect and keeps its stack. `--version` is the same for
 * all programs and answered here.
 */
export async function runMain(main: () => Promise<number>): Promise<never> {
  // What remains if nothing is left to wait for and main has still not ended.
  process.exitCode = 1;
  try {
    if (process.argv[2] === "--version") {
      process.stdout.write(`${await describeVersion()}\n`);
      process.exit(0);
    }
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
