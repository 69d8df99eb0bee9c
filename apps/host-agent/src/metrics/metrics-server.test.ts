import { createServer } from "node:net";
import { makeLogger } from "@wrenn/daemon";
import { afterEach, beforeEach, expect, test } from "vitest";
import { AgentMetrics } from "./metrics.ts";
import { serveMetrics } from "./metrics-server.ts";

const logger = makeLogger("metrics", "silent");
let stack: AsyncDisposableStack;
let metrics: AgentMetrics;
let missing: string[];
let url: string;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  metrics = new AgentMetrics();
  missing = [];
  const options = { metrics, missing: () => missing, logger };
  const { port } = stack.use(await serveMetrics({ host: "127.0.0.1", port: 0 }, options));
  url = `http://127.0.0.1:${port}`;
});
afterEach(() => stack.disposeAsync());

test("/metrics tells what happened and how things stand", async () => {
  const states: ("running" | "error")[] = ["running", "running", "error"];
  metrics.watchCapsules(() => states);
  metrics.watchSlots(() => ({ ready: 4, used: 2 }));
  metrics.watchPool(() => 1);
  metrics.watchRoom(() => ({ promisedMib: 576, leftMib: 1024 }));
  metrics.watchReportLag(() => 3);
  metrics.operation("create", "ok", 0.2);
  metrics.operation("create", "host_disk_full", 0.1);
  metrics.vmmExited();
  metrics.bootSnapshotMade(4);
  metrics.report("acknowledged");
  const response = await fetch(`${url}/metrics`);
  const text = await response.text();
  expect(response.headers.get("content-type")).toContain("text/plain");
  for (const line of [
    'wrenn_capsules{state="running"} 2',
    'wrenn_capsules{state="error"} 1',
    'wrenn_network_slots{state="ready"} 4',
    'wrenn_network_slots{state="used"} 2',
    "wrenn_pool_machines 1",
    'wrenn_room_memory_mebibytes{state="promised"} 576',
    'wrenn_room_memory_mebibytes{state="left"} 1024',
    "wrenn_report_lag_revisions 3",
    'wrenn_operation_duration_seconds_count{kind="create",outcome="ok"} 1',
    'wrenn_operation_duration_seconds_count{kind="create",outcome="host_disk_full"} 1',
    "wrenn_vmm_exits_total 1",
    "wrenn_boot_snapshot_duration_seconds_count 1",
    'wrenn_reports_total{outcome="acknowledged"} 1',
  ]) {
    expect(text).toContain(`${line}\n`);
  }
  expect(text).toContain("process_cpu_seconds_total");
  states.length = 1;
  expect(await (await fetch(`${url}/metrics`)).text()).toContain('wrenn_capsules{state="running"} 1\n');
});

test("/ready names what is missing, while /health only says that the process answers", async () => {
  missing = ["no network slot is ready"];
  const notReady = await fetch(`${url}/ready`);
  expect(notReady.status).toBe(503);
  expect(await notReady.json()).toEqual({ status: "not ready", missing });
  expect((await fetch(`${url}/health`)).status).toBe(200);
  missing = [];
  expect((await fetch(`${url}/ready`)).status).toBe(200);
});

test("anything else is refused", async () => {
  expect((await fetch(`${url}/`)).status).toBe(404);
  expect((await fetch(`${url}/metrics`, { method: "POST" })).status).toBe(405);
});

test("a port that is taken is named with its variable", async () => {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  stack.defer(() => void server.close());
  const { port } = server.address() as { port: number };
  const taken = serveMetrics({ host: "127.0.0.1", port }, { metrics, missing: () => [], logger });
  await expect(taken).rejects.toMatchObject({
    code: "port_in_use",
    message: expect.stringContaining("WRENN_HOST_METRICS_ADDR"),
  });
});
