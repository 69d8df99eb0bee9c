import type { Host } from "../hosts/host.ts";
import { fromAnswer, type Observed } from "./observed.ts";

const listTimeoutMs = 10_000;

/** What a host has of a capsule: nothing, or something in a state that we do not know. */
export type Answered = Observed | "unclear" | undefined;

/**
 * Asks a host what it has. A report may have been written before a row that we read since; an answer is not older
 * than the question, so that what was read before and is not in it is not there.
 */
export async function askHost(host: Host): Promise<(id: string) => Answered> {
  const { capsules } = await host.agent.call((client) =>
    client.listCapsules({}, { timeoutMs: listTimeoutMs }),
  );
  const byId = new Map(capsules.map((capsule) => [capsule.id, capsule]));
  const description = await host.describe().catch(() => undefined);
  return (id) => {
    const capsule = byId.get(id);
    return capsule && (fromAnswer(capsule, description?.agentVersion) ?? "unclear");
  };
}
