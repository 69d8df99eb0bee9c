import { isIP } from "node:net";
import { join } from "node:path";
import {
  absolutePath,
  type ListenAddress,
  listenAddress,
  logLevelVariable,
  type Parse,
  readConfig,
} from "@wrenn/daemon";
import { type EncryptionKeySource, encryptionKey } from "./authority/encryption-key.ts";

export interface ControlPlaneConfig {
  /** Directory of this platform's state. */
  wrennDir: string;
  listenAddress: ListenAddress;
  /** Undefined: a PostgreSQL of our own, below `wrennDir`. */
  databaseUrl: string | undefined;
  /** Undefined: TLS is not served. */
  tlsListenAddress: ListenAddress | undefined;
  /** DNS names and addresses that our certificate has beside those of this machine. */
  tlsNames: string[];
  encryptionKey: EncryptionKeySource;
  /** Opens `/metrics` from elsewhere. */
  metricsToken: string | undefined;
  /** Where the owner's credentials are written. */
  ownerFile: string;
  logLevel: string;
}

const postgresUrl: Parse<string | undefined> = (text) => {
  if (text === "embedded") return undefined;
  if (!URL.canParse(text) || !/^postgres(ql)?:\/\//.test(text)) {
    throw new Error("must look like postgres://user:password@host:5432/database");
  }
  return text;
};

/** A variable that may be unset: that is what "off" stands for. */
function optional<T>(parse: Parse<T>): Parse<T | undefined> {
  return (text) => (text === "off" ? undefined : parse(text));
}

/** RFC 1123 host names and addresses, separated by commas. */
const dnsNames: Parse<string[]> = (text) => {
  const names = text.split(",").map((name) => name.trim());
  if (
    names.every((name) => isIP(name) !== 0 || /^[a-zA-Z0-9]([a-zA-Z0-9.-]{0,251}[a-zA-Z0-9])?$/.test(name))
  ) {
    return names;
  }
  throw new Error("must be host names or addresses, separated by commas");
};

const secret: Parse<string> = (text) => {
  if (text.length < 16) throw new Error("must have at least 16 characters");
  return text;
};

const variables = {
  wrennDir: { name: "WRENN_DIR", parse: absolutePath, fallback: "/var/lib/wrenn" },
  listenAddress: { name: "WRENN_CP_LISTEN_ADDR", parse: listenAddress, fallback: ":8000" },
  databaseUrl: { name: "DATABASE_URL", parse: postgresUrl, fallback: "embedded" },
  tlsListenAddress: { name: "WRENN_CP_TLS_LISTEN_ADDR", parse: optional(listenAddress), fallback: "off" },
  tlsNames: { name: "WRENN_CP_TLS_NAMES", parse: optional(dnsNames), fallback: "off" },
  encryptionKey: { name: "WRENN_ENCRYPTION_KEY", parse: optional(encryptionKey), fallback: "off" },
  metricsToken: { name: "WRENN_METRICS_TOKEN", parse: optional(secret), fallback: "off" },
  ownerFile: { name: "WRENN_OWNER_FILE", parse: optional(absolutePath), fallback: "off" },
  logLevel: logLevelVariable,
};

/** @throws {WrennError} `config_invalid`, naming every wrong variable. */
export function readControlPlaneConfig(env: NodeJS.ProcessEnv): ControlPlaneConfig {
  const config = readConfig(variables, env);
  return {
    ...config,
    tlsNames: config.tlsNames ?? [],
    encryptionKey: { key: config.encryptionKey, file: join(config.wrennDir, "encryption-key") },
    ownerFile: config.ownerFile ?? join(config.wrennDir, "owner.json"),
  };
}
