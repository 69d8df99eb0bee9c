import { parseArgs } from "node:util";
import { WrennError } from "@wrenn/contracts";
import { ensureImages } from "./index.ts";

const usage = "Usage: node images/src/main.ts --wrenn-dir DIR --envd PATH\n";

/** Builds the images with one line per step. Exit status: 0 built, 1 failed, 2 wrong arguments. */
async function main(): Promise<number> {
  const { values } = parseArgs({ options: { "wrenn-dir": { type: "string" }, envd: { type: "string" } } });
  const { "wrenn-dir": wrennDir, envd } = values;
  if (wrennDir === undefined || envd === undefined) {
    process.stderr.write(usage);
    return 2;
  }
  const interrupted = new AbortController();
  for (const name of ["SIGINT", "SIGTERM"] as const) process.once(name, () => interrupted.abort());
  try {
    const paths = await ensureImages({
      wrennDir,
      envdBinary: envd,
      signal: interrupted.signal,
      onProgress: (step, state, elapsedMs) => {
        const time = state === "done" ? ` in ${(elapsedMs / 1000).toFixed(1)} s` : "";
        process.stdout.write(`${step}: ${state}${time}\n`);
      },
    });
    process.stdout.write(`${Object.values(paths).join("\n")}\n`);
    return 0;
  } catch (error) {
    if (interrupted.signal.aborted) return 1;
    if (!(error instanceof WrennError)) throw error;
    process.stderr.write(`${error.message}\n`);
    return 1;
  }
}

process.exitCode = await main();
