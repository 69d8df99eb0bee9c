import { readClientConfig } from "../config.ts";
import { sayHello } from "../platform/hello.ts";
import { Progress } from "../progress.ts";

/** `wrenn hello`: a capsule of a platform that runs already, wherever it is, says hello. */
export async function hello(): Promise<number> {
  const interrupted = new AbortController();
  process.once("SIGINT", () => interrupted.abort());
  const { stdout, createMs, execMs, kernel, vmm } = await sayHello(
    readClientConfig(process.env),
    new Progress(),
    interrupted.signal,
  );
  process.stdout.write(
    `${stdout}Created in ${createMs} ms, command in ${execMs} ms, kernel ${kernel} (${vmm}).\n`,
  );
  return 0;
}
