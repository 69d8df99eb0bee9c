import { isIP } from "node:net";
import { WrennError } from "@wrenn/contracts";
import {
  absolutePath,
  type ListenAddress,
  listenAddress,
  logLevelVariable,
  number,
  oneOf,
  type Parse,
  readConfig,
  text,
} from "@wrenn/daemon";
import type { AgentArguments } from "./arguments.ts";
import { poolSizes } from "./pool/pool-sizes.ts";
import { controlPlaneUrl } from "./registration/control-plane-url.ts";

const off = "off";
const none = "none";

const optionalListenAddress: Parse<ListenAddress | undefined> = (value) => {
  if (value === off) return undefined;
  const { host, port } = listenAddress(value);
  return { host: host || "127.0.0.1", port };
};

const optionalPath: Parse<string | undefined> = (value) => (value === none ? undefined : absolutePath(value));

const variables = {
  wrennDir: { name: "WRENN_DIR", parse: absolutePath, fallback: "/var/lib/wrenn" },
  archiveDir: { name: "WRENN_ARCHIVE_DIR", parse: optionalPath, fallback: none },
  listen: { name: "WRENN_HOST_LISTEN_ADDR", parse: listenAddress, fallback: ":50051" },
  metricsListen: {
    name: "WRENN_HOST_METRICS_ADDR",
    parse: optionalListenAddress,
    fallback: "127.0.0.1:50052",
  },
  controlPlaneUrl: { name: "WRENN_CP_URL", parse: controlPlaneUrl, fallback: "http://127.0.0.1:8000" },
  registrationToken: { name: "WRENN_REGISTRATION_TOKEN", parse: text, fallback: none },
  vmm: { name: "WRENN_VMM", parse: oneOf(["auto", "qemu-kvm", "qemu-tcg", "simulated"]), fallback: "auto" },
  envdBinary: { name: "WRENN_ENVD_BIN", parse: absolutePath, fallback: "/usr/local/bin/envd" },
  logLevel: logLevelVariable,
  // What capsules may take of this host.
  memoryOvercommit: { name: "WRENN_MEMORY_OVERCOMMIT", parse: number(0.1, 100, "fractions"), fallback: "2" },
  memoryReserveMib: { name: "WRENN_MEMORY_RESERVE_MIB", parse: number(0, 2 ** 30), fallback: "256" },
  diskReserveMib: { name: "WRENN_DISK_RESERVE_MIB", parse: number(0, 2 ** 40), fallback: "512" },
  maxCapsules: { name: "WRENN_MAX_CAPSULES", parse: number(0, 1_000_000), fallback: "0" },
  // Machines that wait to be claimed.
  poolSize: { name: "WRENN_POOL_SIZE", parse: number(0, 64), fallback: "1" },
  pools: { name: "WRENN_POOLS", parse: poolSizes, fallback: "," },
};

export type AgentConfig = ReturnType<typeof readAgentConfig>;

/** Reads the agent's configuration. An argument goes before the variable that says the same. */
export function readAgentConfig(env: NodeJS.ProcessEnv, given: AgentArguments = {}) {
  // Set to nothing is an answer here: no port for metrics.
  const metrics = env.WRENN_HOST_METRICS_ADDR === "" ? { WRENN_HOST_METRICS_ADDR: off } : {};
  const { registrationToken, ...config } = readConfig(variables, { ...env, ...metrics });
  const token = given.register ?? (registrationToken === none ? undefined : registrationToken);
  const address = given.address === undefined ? undefined : parseAddress(given.address);
  return { ...config, registrationToken: token, address };
}

/** `IP:PORT` as the control plane will dial it. */
function parseAddress(value: string): string {
  const parsed = tryListenAddress(value);
  if (parsed && isIP(parsed.host) !== 0 && parsed.port > 0 && !isEveryAddress(parsed.host)) return value;
  throw new WrennError(
    "config_invalid",
    "--address must be IP:PORT at which the control plane reaches this host, like 192.0.2.7:50051",
  );
}

function tryListenAddress(value: string): ListenAddress | undefined {
  try {
    return listenAddress(value);
  } catch {
    return undefined;
  }
}

/** Whether a listen address stands for all addresses of this host, and so for none that could be dialled. */
export function isEveryAddress(host: string): boolean {
  return host === "" || host === "0.0.0.0" || /^[0:]+$/.test(host);
}
