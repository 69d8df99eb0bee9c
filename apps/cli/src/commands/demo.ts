import { makeLifetime, makeLogger } from "@wrenn/daemon";
import { readCliConfig } from "../config.ts";
import { sayHello } from "../platform/hello.ts";
import { startPlatform } from "../platform/platform.ts";
import { Progress } from "../progress.ts";

/** `wrenn demo`: start, a hello capsule, everything torn down. The last line is JSON; the exit code says the same. */
export async function demo(): Promise<number> {
  const progress = new Progress();
  const lifetime = makeLifetime(makeLogger("wrenn", "warn"), 120_000);
  let result: Record<string, unknown>;
  try {
    const platform = lifetime.stack.use(
      await startPlatform(readCliConfig(process.env), progress, lifetime.signal),
    );
    const { vmm, createMs, execMs, kernel, stdout } = await sayHello(platform, progress, lifetime.signal);
    result = { ok: true, vmm, create_ms: createMs, exec_ms: execMs, kernel, stdout };
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    progress.note(`error: ${message}`);
    result = { ok: false, error: message };
  }
  lifetime.end("the demo is over");
  const code = await progress.step("everything torn down", () => lifetime.ended);
  const ok = result.ok === true && code === 0;
  process.stdout.write(`${JSON.stringify({ ...result, ok })}\n`);
  return ok ? 0 : 1;
}
