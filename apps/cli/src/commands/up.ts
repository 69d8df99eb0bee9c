import { makeLifetime, makeLogger } from "@wrenn/daemon";
import { readCliConfig } from "../config.ts";
import { sayHello } from "../platform/hello.ts";
import { startPlatform } from "../platform/platform.ts";
import { Progress } from "../progress.ts";

/** `wrenn up`: the platform in the foreground, until Ctrl-C. */
export async function up(): Promise<number> {
  const progress = new Progress();
  const config = readCliConfig(process.env);
  const lifetime = makeLifetime(makeLogger("wrenn", "warn"), 120_000);
  try {
    const platform = lifetime.stack.use(await startPlatform(config, progress, lifetime.signal));
    const hello = await sayHello(platform, progress, lifetime.signal);
    process.stdout.write(`
${hello.stdout}Created in ${hello.createMs} ms, command in ${hello.execMs} ms, kernel ${hello.kernel} (${hello.vmm}).

  API      ${platform.url}
  Docs     ${platform.url}/docs
  API key  ${platform.apiKey}
  Account  ${platform.ownerFile}
  Logs     ${platform.logDir}
  Stop     Ctrl-C
`);
  } catch (error) {
    return await giveUp(lifetime, error);
  }
  return await lifetime.ended;
}

/** Releases what was started. An error because of Ctrl-C is no error. */
async function giveUp(lifetime: ReturnType<typeof makeLifetime>, error: unknown): Promise<number> {
  const interrupted = lifetime.signal.aborted;
  lifetime.end("the platform did not start");
  const code = await lifetime.ended;
  if (interrupted) return code;
  throw error;
}
