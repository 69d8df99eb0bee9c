import { absolutePath, type ListenAddress, listenAddress, logLevelVariable, readConfig } from "@wrenn/daemon";

const variables = {
  wrennDir: { name: "WRENN_DIR", parse: absolutePath, fallback: "/var/lib/wrenn" },
  cpListen: { name: "WRENN_CP_LISTEN_ADDR", parse: listenAddress, fallback: ":8000" },
  hostListen: { name: "WRENN_HOST_LISTEN_ADDR", parse: listenAddress, fallback: ":50051" },
  envdBinary: { name: "WRENN_ENVD_BIN", parse: absolutePath, fallback: "/usr/local/bin/envd" },
  logLevel: logLevelVariable,
};

export interface CliConfig {
  readonly wrennDir: string;
  readonly cpListen: ListenAddress;
  readonly hostListen: ListenAddress;
  readonly envdBinary: string;
  /** Absent: `wrenn up` runs a PostgreSQL of its own. */
  readonly databaseUrl: string | undefined;
}

export function readCliConfig(env: NodeJS.ProcessEnv): CliConfig {
  const { logLevel: _, ...config } = readConfig(variables, env);
  return { ...config, databaseUrl: env.DATABASE_URL || undefined };
}
