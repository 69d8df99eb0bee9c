import { collectDefaultMetrics } from "prom-client";
import type { Metrics } from "./metrics.ts";

/** Measures this process as well: memory, event loop, garbage collection. Once in a process, since it never ends. */
export function measureProcess({ registry }: Metrics): void {
  collectDefaultMetrics({ register: registry });
}
