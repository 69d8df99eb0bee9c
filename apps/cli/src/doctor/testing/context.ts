import type { CheckContext } from "../check.ts";

/** What `wrenn doctor` looks at on a machine where nothing is configured, but for what a test says. */
export function contextOf(
  config: Partial<CheckContext["config"]> = {},
  env: NodeJS.ProcessEnv = process.env,
): CheckContext {
  return {
    config: {
      wrennDir: "/nonexistent/wrenn",
      cpListen: { host: "127.0.0.1", port: 0 },
      hostListen: { host: "127.0.0.1", port: 0 },
      envdBinary: "/nonexistent/envd",
      databaseUrl: undefined,
      ...config,
    },
    env,
    signal: AbortSignal.timeout(20_000),
  };
}
