import { setTimeout as sleep } from "node:timers/promises";
import { WrennError } from "@wrenn/contracts";
import type { CapsuleRow } from "../database/schema.ts";
import type { Hosts } from "../hosts/hosts.ts";
import { askHost } from "./ask.ts";
import type { SettleParts } from "./settle.ts";
import { settleAbandonedRow } from "./settle-abandoned.ts";

const everyMs = 5_000;
/** The hosts go on with what is under way, and the next control plane looks. */
const finishMs = 2_000;

export type SettlerParts = SettleParts & { hosts: Hosts };

/**
 * Brings to an end, again and again, what nobody works on any more: operations of a control plane that has died, and
 * our own that could not reach their host.
 */
export function startSettler(parts: SettlerParts): AsyncDisposable {
  const controller = new AbortController();
  const { signal } = controller;
  const running = new Set<Promise<void>>();
  const settle = (): void => {
    const settling = settleAbandoned(parts)
      .catch((err: unknown) => parts.logger.warn({ err }, "abandoned capsules could not be settled"))
      .finally(() => running.delete(settling));
    running.add(settling);
  };
  const loop = async (): Promise<void> => {
    while (!signal.aborted) {
      // Not waited for: what one capsule takes, the others do not wait for. What is under way is not begun again.
      settle();
      await sleep(everyMs, undefined, { signal, ref: false }).catch(() => {}); // aborted: it ends
    }
  };
  const looping = loop();
  return {
    async [Symbol.asyncDispose]() {
      controller.abort();
      await looping;
      await Promise.race([Promise.allSettled(running), sleep(finishMs, undefined, { ref: false })]);
    },
  };
}

/** Settles what is abandoned now. A host that cannot be asked delays no other, and changes nothing. */
export async function settleAbandoned(parts: SettlerParts): Promise<void> {
  const rows = (await parts.store.abandoned()).filter((row) => !parts.operations.has(row.id));
  const byHost = Map.groupBy(rows, (row) => row.host_id);
  await Promise.all([...byHost].map(([hostId, ofHost]) => settleOnHost(hostId, ofHost, parts)));
}

async function settleOnHost(hostId: string | null, rows: CapsuleRow[], parts: SettlerParts): Promise<void> {
  const logger = parts.logger.child({ host: hostId });
  try {
    const settleable = await withoutCopiesUnderWay(rows, parts);
    const answer = hostId === null ? () => undefined : await askHost(await parts.hosts.get(hostId));
    const ofHost = { ...parts, logger };
    await Promise.all(settleable.map((row) => settleAbandonedRow(row, answer(row.id), ofHost)));
  } catch (error) {
    if (!(error instanceof WrennError)) throw error;
    logger.warn({ code: error.code, reason: error.message }, "abandoned capsules wait for their host");
  }
}

/**
 * Copies of a capsule that is being forked are settled with that. Looked up before the host is asked: of one whose
 * fork was over then, the answer says all.
 */
async function withoutCopiesUnderWay(rows: CapsuleRow[], { store }: SettlerParts): Promise<CapsuleRow[]> {
  const sources = await store.findMany(rows.flatMap(({ forked_from: id }) => (id === null ? [] : [id])));
  const forking = new Set(sources.filter(({ state }) => state === "snapshotting").map(({ id }) => id));
  return rows.filter(({ forked_from: id }) => id === null || !forking.has(id));
}
