import { setTimeout as sleep } from "node:timers/promises";

/**
 * Does work now and again after each pause, one at a time. What it throws is told and does not end it.
 *
 * @returns what ends it, when the work that is under way is done.
 */
export function repeat(
  everyMs: number,
  work: () => Promise<void>,
  onFailure: (error: unknown) => void,
): AsyncDisposable {
  const controller = new AbortController();
  const loop = async (): Promise<void> => {
    while (!controller.signal.aborted) {
      await work().catch(onFailure);
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
