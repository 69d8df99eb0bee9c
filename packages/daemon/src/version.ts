import { isBuiltProgram, readProgramFile } from "./program-files.ts";

/** Version of this platform, the same for every part that is released together. */
export const wrennVersion = "0.1.0";

/** Name of the file in a built program that holds the git commit it was built from. */
const commitFile = "commit";

/** What `--version` prints: the version, and what exactly was built. */
export async function describeVersion(): Promise<string> {
  const commit = isBuiltProgram ? (await readProgramFile(commitFile)).toString() : "from source";
  return `${wrennVersion} (${commit})`;
}
