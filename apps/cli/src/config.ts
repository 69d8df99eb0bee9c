import { WrennError } from "@wrenn/contracts";
import {
  absolutePath,
  httpUrl,
  isBuiltProgram,
  isLoopback,
  type ListenAddress,
  listenAddress,
  logLevelVariable,
  readConfig,
  text,
} from "@wrenn/daemon";

const variables = {
  wrennDir: { name: "WRENN_DIR", parse: absolutePath, fallback: "/var/lib/wrenn" },
  cpListen: { name: "WRENN_CP_LISTEN_ADDR", parse: listenAddress, fallback: ":8000" },
  hostListen: { name: "WRENN_HOST_LISTEN_ADDR", parse: listenAddress, fallback: ":50051" },
  envdBinary: { name: "WRENN_ENVD_BIN", parse: absolutePath, fallback: "/usr/local/bin/envd" },
  logLevel: logLevelVariable,
};

const clientVariables = {
  url: { name: "WRENN_CP_URL", parse: httpUrl, fallback: "http://127.0.0.1:8000" },
  apiKey: { name: "WRENN_API_KEY", parse: text },
};

/** Where a client finds the API, and what opens it. */
export interface ClientConfig {
  readonly url: string;
  readonly apiKey: string;
}

export function readClientConfig(env: NodeJS.ProcessEnv): ClientConfig {
  return readConfig(clientVariables, env);
}

export interface CliConfig {
  readonly wrennDir: string;
  readonly cpListen: ListenAddress;
  readonly hostListen: ListenAddress;
  /** Absent: the one that this program carries. */
  readonly envdBinary: string | undefined;
  /** Absent: `wrenn up` runs a PostgreSQL of its own. */
  readonly databaseUrl: string | undefined;
}

export function readCliConfig(env: NodeJS.ProcessEnv): CliConfig {
  const { logLevel: _, ...config } = readConfig(variables, env);
  const { host } = config.cpListen;
  // The agent that it starts talks to the control plane by plain http, which never leaves the machine.
  if (!isLoopback(host) && host !== "" && host !== "0.0.0.0" && host !== "::") {
    const sentence =
      "WRENN_CP_LISTEN_ADDR must be :PORT or a loopback address, for the agent on this machine";
    throw new WrennError("config_invalid", `configuration: ${sentence}`);
  }
  const carriesEnvd = isBuiltProgram && !env.WRENN_ENVD_BIN;
  const envdBinary = carriesEnvd ? undefined : config.envdBinary;
  return { ...config, envdBinary, databaseUrl: env.DATABASE_URL || undefined };
}
