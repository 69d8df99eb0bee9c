import { setTimeout as sleep } from "node:timers/promises";
import { WrennError } from "@wrenn/contracts";
import type { CapsuleRow } from "../database/schema.ts";
import type { Hosts } from "../hosts/hosts.ts";
import { askHost } from "./ask.ts";
import type { SettleParts } from "./settle.ts";
import { settleAbandonedRow } from "./settle-abandoned.ts";

const everyMs = 5_000;

export type SettlerParts = SettleParts & { hosts: Hosts };

/**
 * Brings to an end, again and again, what nobody works on any more: operations of a control plane that has died, and
 * our own that could not reach their host.
 */
export function startSettler(parts: SettlerParts): AsyncDisposable {
  const controller = new AbortController();
  const loop = async (): Promise<void> => {
    while (!controller.signal.aborted) {
      await settleAbandoned(parts).catch((err: unknown) =>
        parts.logger.warn({ err }, "abandoned capsules could not be settled"),
      );
      await sleep(everyMs, undefined, { signal: controller.signal, ref: false }).catch(() => {}); // aborted: it ends
    }
  };
  const running = loop();
  return {
    async [Symbol.asyncDispose]() {
      controller.abort();
      await running;
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
    const answer = hostId === null ? () => undefined : await askHost(await parts.hosts.get(hostId));
    const ofHost = { ...parts, logger };
    await Promise.all(rows.map((row) => settleAbandonedRow(row, answer(row.id), ofHost)));
  } catch (error) {
    if (!(error instanceof WrennError)) throw error;
    logger.warn({ code: error.code, reason: error.message }, "abandoned capsules wait for their host");
  }
}
