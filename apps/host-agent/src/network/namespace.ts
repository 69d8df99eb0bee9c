import { runCommand } from "@wrenn/daemon";

/** Runs `ip` commands in one batch in the host's namespace; the first that fails ends it. */
export async function runIp(commands: readonly string[], signal?: AbortSignal): Promise<void> {
  await runCommand("ip", ["-batch", "-"], { input: `${commands.join("\n")}\n`, signal });
}

/** Runs a program inside a network namespace. */
export async function runIn(
  namespace: string,
  command: string,
  args: readonly string[],
  input: string | undefined,
  signal?: AbortSignal,
): Promise<void> {
  const options = input === undefined ? { signal } : { input, signal };
  await runCommand("nsenter", [`--net=/run/netns/${namespace}`, "--", command, ...args], options);
}
