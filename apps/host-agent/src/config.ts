import { WrennError } from "@wrenn/contracts";
import {
  absolutePath,
  isLoopback,
  type ListenAddress,
  listenAddress,
  logLevelVariable,
  oneOf,
  readConfig,
} from "@wrenn/daemon";

const variables = {
  wrennDir: { name: "WRENN_DIR", parse: absolutePath, fallback: "/var/lib/wrenn" },
  listen: { name: "WRENN_HOST_LISTEN_ADDR", parse: listenAddress, fallback: ":50051" },
  vmm: { name: "WRENN_VMM", parse: oneOf(["auto", "qemu-kvm", "qemu-tcg", "simulated"]), fallback: "auto" },
  envdBinary: { name: "WRENN_ENVD_BIN", parse: absolutePath, fallback: "/usr/local/bin/envd" },
  logLevel: logLevelVariable,
};

export type AgentConfig = ReturnType<typeof readAgentConfig>;

/** Reads the agent's configuration. A port without a host means loopback: the port carries no TLS yet. */
export function readAgentConfig(env: NodeJS.ProcessEnv) {
  const config = readConfig(variables, env);
  const listen: ListenAddress = { host: config.listen.host || "127.0.0.1", port: config.listen.port };
  if (!isLoopback(listen.host)) {
    throw new WrennError(
      "config_invalid",
      "configuration: WRENN_HOST_LISTEN_ADDR must be a loopback address",
    );
  }
  return { ...config, listen };
}
