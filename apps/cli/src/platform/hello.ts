import { ApiClient } from "../api-client.ts";
import type { ClientConfig } from "../config.ts";
import type { Progress } from "../progress.ts";

export interface Hello {
  readonly vmm: string;
  readonly createMs: number;
  readonly execMs: number;
  /** Kernel that the command saw in the capsule. */
  readonly kernel: string;
  readonly stdout: string;
}

/** Creates a capsule through the API, runs a command in it, and destroys it. */
export async function sayHello(
  target: ClientConfig,
  progress: Progress,
  signal: AbortSignal,
): Promise<Hello> {
  const api = new ApiClient(target.url, target.apiKey);
  await progress.step("template minimal", async () => {
    // The first create of a size boots the template once; what is timed below is what every later create costs.
    const { id } = await api.createCapsule(signal);
    await api.destroyCapsule(id, signal);
  });
  return await progress.step("hello capsule", () => timedHello(api, signal));
}

async function timedHello(api: ApiClient, signal: AbortSignal): Promise<Hello> {
  const started = performance.now();
  const capsule = await api.createCapsule(signal);
  const created = performance.now();
  try {
    const command = 'uname -r; echo "Hello from $(hostname), a computer of its own"';
    const { stdout } = await api.exec(capsule.id, { cmd: "/bin/sh", args: ["-c", command] }, signal);
    const [kernel = "", ...rest] = stdout.split("\n");
    return {
      vmm: capsule.metadata.vmm ?? "",
      createMs: Math.round(created - started),
      execMs: Math.round(performance.now() - created),
      kernel,
      stdout: rest.join("\n"),
    };
  } finally {
    await api.destroyCapsule(capsule.id, AbortSignal.timeout(30_000));
  }
}
