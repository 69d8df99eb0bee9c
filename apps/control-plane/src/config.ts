import { isIP } from "node:net";
import { join } from "node:path";
import {
  absolutePath,
  httpUrl,
  isLoopback,
  type ListenAddress,
  listenAddress,
  logLevelVariable,
  type Parse,
  readConfig,
} from "@wrenn/daemon";

export interface ControlPlaneConfig {
  /** Directory of this platform's state. */
  wrennDir: string;
  listenAddress: ListenAddress;
  /** Undefined: a PostgreSQL of our own, below `wrennDir`. */
  databaseUrl: string | undefined;
  hostAgentUrl: string;
  /** Where the owner's credentials are written. */
  ownerFile: string;
  logLevel: string;
}

/** Until hosts have certificates, the token that opens an agent must not cross a network. */
const hostAgentUrl: Parse<string> = (text) => {
  const url = httpUrl(text);
  const { protocol, hostname } = new URL(url);
  const host = hostname.replace(/^\[|\]$/g, "");
  // A name that only begins like an address (127.example.org) is not one.
  const local = isLoopback(host) && (host === "localhost" || isIP(host) !== 0);
  if (protocol === "http:" && !local) throw new Error("must be https, or http on this machine");
  return url;
};

const postgresUrl: Parse<string | undefined> = (text) => {
  if (text === "embedded") return undefined;
  if (!URL.canParse(text) || !/^postgres(ql)?:\/\//.test(text)) {
    throw new Error("must look like postgres://user:password@host:5432/database");
  }
  return text;
};

const optionalPath: Parse<string | undefined> = (text) =>
  text === "default" ? undefined : absolutePath(text);

const variables = {
  wrennDir: { name: "WRENN_DIR", parse: absolutePath, fallback: "/var/lib/wrenn" },
  listenAddress: { name: "WRENN_CP_LISTEN_ADDR", parse: listenAddress, fallback: ":8000" },
  databaseUrl: { name: "DATABASE_URL", parse: postgresUrl, fallback: "embedded" },
  hostAgentUrl: { name: "CP_HOST_AGENT_ADDR", parse: hostAgentUrl, fallback: "http://127.0.0.1:50051" },
  ownerFile: { name: "WRENN_OWNER_FILE", parse: optionalPath, fallback: "default" },
  logLevel: logLevelVariable,
};

/** @throws {WrennError} `config_invalid`, naming every wrong variable. */
export function readControlPlaneConfig(env: NodeJS.ProcessEnv): ControlPlaneConfig {
  const config = readConfig(variables, env);
  return { ...config, ownerFile: config.ownerFile ?? join(config.wrennDir, "owner.json") };
}
