import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { root } from "./setting.ts";

/**
 * Runs a program from source and restarts it when a file that it imports changes, until Ctrl-C.
 *
 * @returns the exit code.
 */
export async function watch(entry: string, env: NodeJS.ProcessEnv): Promise<number> {
  const options = ["--watch", "--watch-preserve-output"];
  const child = spawn(process.execPath, [...options, join(root, entry)], {
    cwd: root,
    env,
    stdio: "inherit",
  });
  const exited = once(child, "exit");
  // A terminal's Ctrl-C reaches the child by itself; what is left to us is to wait until it has ended in order.
  process.on("SIGINT", () => {});
  process.on("SIGTERM", () => child.kill("SIGTERM"));
  const [code] = await exited;
  return code ?? 0;
}
