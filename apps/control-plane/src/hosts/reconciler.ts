import { setTimeout as sleep } from "node:timers/promises";
import { WrennError } from "@wrenn/contracts";
import type { Logger } from "@wrenn/daemon";
import { type ReconcileParts, reconcileHost } from "./reconcile.ts";
import type { Host } from "./service.ts";

const everyMs = 10_000;

/** Reconciles each host, at once and then again and again; a slow host delays no other. */
export function startReconciler(parts: ReconcileParts): AsyncDisposable {
  const controller = new AbortController();
  const loops = parts.hosts.all().map((host) => loop(host, parts, controller.signal));
  return {
    async [Symbol.asyncDispose]() {
      controller.abort();
      await Promise.all(loops);
    },
  };
}

async function loop(host: Host, parts: ReconcileParts, signal: AbortSignal): Promise<void> {
  const logger = parts.logger.child({ host: host.id });
  let failing = false;
  while (!signal.aborted) {
    failing = await attempt(host, { ...parts, logger }, failing, logger);
    await sleep(everyMs, undefined, { signal, ref: false }).catch(() => {}); // aborted: the loop ends
  }
}

/** Answers whether it failed. Only the first failure in a row is told: a host may be away for hours. */
async function attempt(
  host: Host,
  parts: ReconcileParts,
  failing: boolean,
  logger: Logger,
): Promise<boolean> {
  try {
    await reconcileHost(host, parts);
    if (failing) logger.info("the host can be reached again");
    return false;
  } catch (err) {
    // What is wrong with the host is in the message; a stack is for what is wrong with us.
    const why = err instanceof WrennError ? { code: err.code, reason: err.message } : { err };
    if (!failing) logger.warn(why, "the host could not be reconciled");
    return true;
  }
}
