import { WrennError } from "@wrenn/contracts";
import { belowNode } from "./disk-nodes.ts";
import type { QmpClient } from "./qmp-client.ts";

/** Work on a disk that goes on by itself once it has been begun. A monitor has one at a time. */
const job = "stream";

/**
 * Copies what the layers between two nodes hold into the upper one, which then stands on the lower one.
 *
 * @param kept number of layers, from the bottom, that stay below it.
 */
export async function streamLayers(
  monitor: QmpClient,
  node: string,
  kept: number,
  signal: AbortSignal,
): Promise<void> {
  signal.throwIfAborted();
  const { promise: ended, resolve, reject } = Promise.withResolvers<void>();
  ended.catch(() => {});
  const completed = monitor.on("BLOCK_JOB_COMPLETED", ({ error }) => {
    if (error === undefined) resolve();
    else
      reject(
        new WrennError("agent_error", `QEMU could not flatten the disk: ${String(error).slice(0, 200)}`),
      );
  });
  const cancelled = monitor.on("BLOCK_JOB_CANCELLED", () =>
    reject(signal.reason ?? new Error("the work was cancelled")),
  );
  void monitor.closed.then(() => reject(new Error("the monitor connection is closed")));
  const abort = () => void endStreams(monitor).catch(reject);
  signal.addEventListener("abort", abort, { once: true });
  try {
    const base = belowNode(kept - 1);
    // The name goes into the file and is never used: every chain is given as nodes.
    const names = { "base-node": base, "backing-file": base };
    await monitor.execute("block-stream", { "job-id": job, device: node, ...names });
    if (signal.aborted) abort();
    await ended;
  } finally {
    signal.removeEventListener("abort", abort);
    completed();
    cancelled();
  }
}

/** Ends what streams, also what an earlier life of this agent had begun: a chain that was not shortened is as it was. */
export async function endStreams(monitor: QmpClient): Promise<void> {
  // One that is not there, or not any more, is refused.
  await monitor.execute("block-job-cancel", { device: job }).catch(() => {});
}
