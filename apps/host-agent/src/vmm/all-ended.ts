/**
 * Waits for all of them, also when one fails: they use files and buffers of whoever called.
 *
 * @throws what the first of them that failed did.
 */
export async function allEnded(work: readonly Promise<unknown>[]): Promise<void> {
  for (const outcome of await Promise.allSettled(work))
    if (outcome.status === "rejected") throw outcome.reason;
}
