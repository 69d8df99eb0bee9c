import { type CapsuleState, newId, WrennError } from "@wrenn/contracts";
import type { HostReportAnswer, HostReportBody, ReportedCapsule } from "@wrenn/contracts/rest";
import { makeLogger } from "@wrenn/daemon";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { ChangeLog } from "./change-log.ts";
import { Reporter, type ReporterOptions } from "./reporter.ts";

let stack: AsyncDisposableStack;
let changes: ChangeLog;
let reports: HostReportBody[];
let answer: (report: HostReportBody) => HostReportAnswer | Promise<HostReportAnswer>;
let complaints: string[];

beforeEach(() => {
  stack = new AsyncDisposableStack();
  changes = new ChangeLog(7);
  reports = [];
  complaints = [];
  answer = ({ revision }) => ({ acknowledged: revision, full_wanted: false });
});
afterEach(() => stack.disposeAsync());

/** Reports to whatever `answer` is at that moment. */
function startReporter(options: Partial<ReporterOptions> = {}): Reporter {
  const silent = makeLogger("reports", "silent");
  const note = (message: unknown) => void complaints.push(String(message));
  const logger = Object.assign(Object.create(silent), { error: note, warn: note });
  return stack.use(
    new Reporter({
      hostId: newId("host"),
      changes,
      specs: async () => ({
        address: "192.0.2.7:50051",
        arch: "x64",
        cpu_cores: 2,
        memory_mb: 4096,
        disk_gb: 10,
        agent_version: "1",
        sent_at: new Date().toISOString(),
      }),
      send: async (report) => {
        reports.push(report);
        return await answer(report);
      },
      logger,
      ...options,
    }),
  );
}

function capsule(id: string, state: CapsuleState): ReportedCapsule {
  return { id, state, generation: 1, revision: 1, versions: {} };
}

/** What a report says of its capsules. */
function told({ base_revision, revision, capsules }: HostReportBody) {
  return { base: base_revision, revision, states: capsules.map(({ id, state }) => `${id} ${state}`) };
}

async function reported(count: number): Promise<HostReportBody[]> {
  await vi.waitFor(() => expect(reports.length).toBeGreaterThanOrEqual(count), 5_000);
  return reports;
}

test("tells everything first, then what changed, at once", async () => {
  changes.record(capsule("a", "running"));
  const reporter = startReporter();
  await reporter.flush(5_000);
  expect(reporter.acknowledged).toBe(true);
  changes.record(capsule("b", "starting"));
  await reporter.flush(5_000);
  changes.record(capsule("a", "stopped"));
  await reporter.flush(5_000);
  expect(reports.map(told)).toEqual([
    { base: undefined, revision: 1, states: ["a running"] },
    { base: 1, revision: 2, states: ["b starting"] },
    { base: 2, revision: 3, states: ["a stopped"] },
  ]);
  expect(reports.every(({ epoch }) => epoch === 7)).toBe(true);
  expect(changes.all().map(({ id }) => id)).toEqual(["b"]);
  expect(reporter.lag).toBe(0);
});

test("has one report under way, and what changes meanwhile goes together with the next", async () => {
  const held = Promise.withResolvers<void>();
  const reporter = startReporter();
  await reporter.flush(5_000);
  answer = async ({ revision }) => {
    await held.promise;
    return { acknowledged: revision, full_wanted: false };
  };
  changes.record(capsule("a", "starting"));
  await reported(2);
  changes.record(capsule("a", "running"));
  changes.record(capsule("b", "starting"));
  held.resolve();
  await reporter.flush(5_000);
  expect(reports.slice(1).map(told)).toEqual([
    { base: 0, revision: 1, states: ["a starting"] },
    { base: 1, revision: 3, states: ["a running", "b starting"] },
  ]);
});

test("reports when nothing changes", async () => {
  startReporter({ heartbeatMs: 10 });
  const [, second] = await reported(2);
  expect(second && told(second)).toEqual({ base: 0, revision: 0, states: [] });
});

test("asked for everything, tells everything again, and at leisure when it just did", async () => {
  changes.record(capsule("a", "running"));
  const reporter = startReporter();
  await reporter.flush(5_000);
  let asked = 0;
  answer = ({ revision }) => {
    asked += 1;
    return { acknowledged: revision, full_wanted: asked <= 2 };
  };
  const startedAt = performance.now();
  changes.record(capsule("b", "running"));
  await reported(4);
  expect(performance.now() - startedAt).toBeGreaterThan(300);
  expect(reports.slice(1).map(({ base_revision }) => base_revision)).toEqual([1, undefined, undefined]);
  await vi.waitFor(() => expect(reporter.lag).toBe(0));
});

describe("a control plane that is away", () => {
  test("gets everything that changed meanwhile, and is complained of once", async () => {
    const reporter = startReporter();
    await reporter.flush(5_000);
    answer = () => Promise.reject(new Error("ECONNREFUSED"));
    changes.record(capsule("a", "running"));
    await reported(3);
    changes.record(capsule("b", "running"));
    changes.record(capsule("a", "stopped"));
    expect(complaints).toHaveLength(1);
    answer = ({ revision }) => ({ acknowledged: revision, full_wanted: false });
    await reporter.flush(5_000);
    expect(told(reports.at(-1) as HostReportBody)).toEqual({
      base: 0,
      revision: 3,
      states: ["a stopped", "b running"],
    });
  });

  test("does not keep an agent from ending", async () => {
    answer = () => Promise.reject(new Error("ECONNREFUSED"));
    const reporter = startReporter();
    await reporter.flush(100);
    expect(reporter.acknowledged).toBe(false);
    await reporter[Symbol.asyncDispose]();
  });

  test("that answers nothing is left alone when the agent ends", async () => {
    const ended = vi.fn();
    const sent = Promise.withResolvers<void>();
    startReporter({
      send: (_, signal) =>
        new Promise((_resolve, reject) => {
          sent.resolve();
          signal.addEventListener("abort", () => {
            ended();
            reject(signal.reason);
          });
        }),
    });
    await sent.promise;
    await stack.disposeAsync();
    expect(ended).toHaveBeenCalledOnce();
  });
});

test("a newer life of the agent ends the reports of this one", async () => {
  const outcomes: string[] = [];
  answer = () => Promise.reject(new WrennError("stale_report", "there is a newer one"));
  const reporter = startReporter({ onReport: (outcome) => void outcomes.push(outcome) });
  await vi.waitFor(() => expect(outcomes).toEqual(["superseded"]));
  changes.record(capsule("a", "running"));
  await reporter.flush(60_000);
  expect(reports).toHaveLength(1);
  expect(complaints).toEqual([expect.stringContaining("a newer life of this agent")]);
});

test.each(["unauthorized", "identity_mismatch"] as const)(
  "%s is told with the cure, and tried on",
  async (code) => {
    answer = () => Promise.reject(new WrennError(code, "X-Host-Token is wrong"));
    const reporter = startReporter();
    await reported(1);
    await vi.waitFor(() => expect(complaints).toHaveLength(1));
    expect(complaints[0]).toMatch(/X-Host-Token is wrong; make a token with POST \/v1\/hosts\/hs\w+\/token/);
    changes.record(capsule("a", "running"));
    answer = ({ revision }) => ({ acknowledged: revision, full_wanted: false });
    await reporter.flush(5_000);
    expect(reporter.lag).toBe(0);
  },
);

test("a problem that the control plane sees is told once, and does not hold reports up", async () => {
  answer = ({ revision }) => ({
    acknowledged: revision,
    full_wanted: false,
    problem: "nobody answers there",
  });
  const reporter = startReporter();
  await reporter.flush(5_000);
  changes.record(capsule("a", "running"));
  await reporter.flush(5_000);
  expect(reporter.lag).toBe(0);
  expect(complaints).toEqual([expect.stringContaining("nobody answers there")]);
});
