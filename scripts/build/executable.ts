import { chmodSync, copyFileSync, renameSync, writeFileSync } from "node:fs";
import { join, relative } from "node:path";
import { run } from "./run.ts";

/** Both are of Node's documentation: https://nodejs.org/docs/latest-v24.x/api/single-executable-applications.html */
const resource = "NODE_SEA_BLOB";
const fuse = "NODE_SEA_FUSE_fce680ab2cc467b6e072b8b5df1996b2";

export interface ExecutableParts {
  readonly name: string;
  /** The bundled program. */
  readonly script: string;
  /** Files it carries: the name it reads each by, and where the file is now. */
  readonly assets: Readonly<Record<string, string>>;
}

/**
 * Makes an executable of Node itself and a program (a "single executable application"), and puts it in its place
 * when it is complete. V8's code cache would save 40 ms of a start and make each build a different one.
 */
export async function makeExecutable(
  root: string,
  { name, script, assets }: ExecutableParts,
  work: string,
  target: string,
): Promise<void> {
  const node = join(root, `node_modules/node-linux-${process.arch}/bin/node`);
  const blob = join(work, `${name}.blob`);
  const config = join(work, `${name}.json`);
  const settings = {
    // Relative, because the path becomes part of the executable.
    main: relative(work, script),
    output: blob,
    assets,
    disableExperimentalSEAWarning: true,
    execArgv: ["--enable-source-maps"],
  };
  writeFileSync(config, JSON.stringify(settings));
  await run(node, ["--experimental-sea-config", config], work);

  const executable = join(work, name);
  copyFileSync(node, executable);
  const postject = join(root, "node_modules/postject/dist/cli.js");
  await run(node, [postject, executable, resource, blob, "--sentinel-fuse", fuse]);
  chmodSync(executable, 0o755);
  renameSync(executable, target);
}
