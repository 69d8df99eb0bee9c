import type { ReportedCapsule } from "@wrenn/contracts/rest";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import type { CapsuleRow } from "../database/schema.ts";
import { shown, type TestControlPlane } from "../testing/control-plane.ts";
import { withControlPlane } from "../testing/with-control-plane.ts";

let cp: TestControlPlane;
let destroyed: string[];
withControlPlane((started) => {
  cp = started;
  destroyed = [];
  cp.agent.answers = {
    listCapsules: () => ({ capsules: [] }),
    destroyCapsule: ({ capsuleId }) => {
      destroyed.push(capsuleId);
      return {};
    },
  };
});

const store = () => cp.settling.store;
const seen = async (id: string): Promise<CapsuleRow> => {
  const [row] = await store().findMany([id]);
  if (!row) throw new Error(`there is no ${id}`);
  return row;
};
const delta = (capsules: Partial<ReportedCapsule>[]) =>
  cp.host.told(capsules, { base_revision: cp.host.revision });

describe("a host that does something by itself", () => {
  test("pauses, hibernates, resumes and stops capsules, and says why", async () => {
    const id = await cp.runningCapsule();
    for (const [revision, state, reason] of [
      [2, "paused", "idle_timeout"],
      [3, "hibernated", undefined],
      [4, "running", "host_disk_full"],
      [5, "running", undefined],
      [6, "paused", "host_drained"],
      [7, "stopped", "max_run_time"],
    ] as const) {
      await delta([{ id, state, revision, ...(reason !== undefined && { reason }) }]);
      const now = await shown(cp, id);
      expect([now.state, now.reason]).toEqual([state, reason]);
    }
    await cp.background[Symbol.asyncDispose]();
    expect(destroyed).toEqual([]);
  });

  test("tells of each step on the way, which is not where the capsule is yet", async () => {
    const id = await cp.runningCapsule();
    await delta([{ id, state: "pausing", revision: 2 }]);
    expect(await shown(cp, id)).toMatchObject({ state: "running" });
    await delta([{ id, state: "paused", revision: 3 }]);
    expect(await shown(cp, id)).toMatchObject({ state: "paused" });
  });

  test("is not believed about a command that it has not heard of yet, nor about an older observation", async () => {
    const id = await cp.runningCapsule();
    await delta([{ id, state: "paused", revision: 5 }]);
    await store().move(await seen(id), "resuming", { generation: 2n });
    await delta([{ id, state: "paused", generation: 1, revision: 6 }]);
    expect(await shown(cp, id)).toMatchObject({ state: "resuming" });
    await delta([{ id, state: "running", generation: 2, revision: 4 }]);
    expect(await shown(cp, id)).toMatchObject({ state: "resuming" });
    await delta([{ id, state: "running", generation: 2, revision: 7 }]);
    expect(await shown(cp, id)).toMatchObject({ state: "running" });
  });

  test("moves a capsule whose fork or snapshot was cut off here, as soon as it has ended that", async () => {
    const id = await cp.runningCapsule();
    await store().move(await seen(id), "snapshotting", { generation: 2n });
    await delta([{ id, state: "snapshotting", generation: 2, revision: 3 }]);
    expect(await shown(cp, id)).toMatchObject({ state: "snapshotting" });
    expect(await delta([{ id, state: "running", generation: 2, revision: 4 }])).toMatchObject({
      full_wanted: false,
    });
    await cp.background[Symbol.asyncDispose]();
    expect(await shown(cp, id)).toMatchObject({ state: "running" });
  });

  test("never moves one that another control plane forks or snapshots: whoever does that does", async () => {
    const id = await cp.runningCapsule();
    const replica = await cp.newReplica();
    await replica.settling.store.move(await seen(id), "snapshotting", { generation: 2n });
    const answer = await delta([{ id, state: "running", generation: 2, revision: 3 }]);
    expect(await shown(cp, id)).toMatchObject({ state: "snapshotting" });
    // Whoever does it may have heard something older, so this has to be told again.
    expect(answer).toMatchObject({ full_wanted: true });
  });

  test("is heard once what is being done here is over, if that is younger than its answer", async () => {
    const id = await cp.runningCapsule();
    const { promise: answered, resolve: answer } = Promise.withResolvers<void>();
    cp.agent.answers.pauseCapsule = async ({ generation }) => {
      await answered;
      return { capsule: { id, state: "paused", generation, revision: 5n } };
    };
    const pausing = cp.request("POST", `/v1/capsules/${id}/pause`);
    await expect.poll(async () => (await shown(cp, id)).state).toBe("pausing");
    await delta([{ id, state: "hibernated", generation: 2, revision: 6 }]);
    expect(await shown(cp, id)).toMatchObject({ state: "pausing" });
    answer();
    expect((await pausing).json()).toMatchObject({ state: "paused" });
    await cp.background[Symbol.asyncDispose]();
    expect(await shown(cp, id)).toMatchObject({ state: "hibernated" });
  });

  test("has its disk sizes noted, and its time rules corrected until they are what the row says", async () => {
    const updates: object[] = [];
    cp.agent.answers.updateCapsule = ({ capsuleId, timeRules }) => {
      updates.push({ capsuleId, ...timeRules });
      return {};
    };
    const id = await cp.runningCapsule();
    await cp.request("PATCH", `/v1/capsules/${id}`, { timeout_sec: 60 });
    updates.length = 0;
    const wrong = { timeout_sec: 0, max_run_sec: 0, on_timeout: "pause" } as const;
    await delta([{ id, revision: 2, time_rules: wrong, disk_size_mb: 2048 }]);
    await cp.background[Symbol.asyncDispose]();
    expect(updates).toMatchObject([{ capsuleId: id, idleTimeoutSec: 60, maxRunSec: 0, action: "pause" }]);
    await delta([{ id, revision: 3, time_rules: { ...wrong, timeout_sec: 60 } }]);
    await cp.background[Symbol.asyncDispose]();
    expect(updates).toHaveLength(1);
    expect(await shown(cp, id)).toMatchObject({ state: "running", disk_size_mb: 2048, timeout_sec: 60 });
  });
});

test("a paused or hibernated capsule that its host does not have is lost, and is back when it is", async () => {
  for (const state of ["paused", "hibernated"] as const) {
    const id = await cp.runningCapsule();
    await delta([{ id, state, revision: 2 }]);
    await cp.host.told([]);
    expect(await shown(cp, id)).toMatchObject({ status: "error", reason: "lost" });
    await delta([{ id, state, revision: 2 }]);
    expect(await shown(cp, id)).toMatchObject({ state });
    await cp.request("DELETE", `/v1/capsules/${id}`);
  }
});

describe("a host that is silent", () => {
  test("makes paused capsules missing, and hibernated ones not", async () => {
    const [paused, hibernated] = [await cp.runningCapsule(), await cp.runningCapsule()];
    await delta([
      { id: paused, state: "paused", revision: 2 },
      { id: hibernated, state: "hibernated", revision: 2 },
    ]);
    await sql`update hosts set last_report_at = now() - interval '91 seconds'`.execute(cp.database.kysely);
    expect(await shown(cp, paused)).toMatchObject({ status: "missing", state: "paused" });
    expect(await shown(cp, hibernated)).toMatchObject({ status: "hibernated" });
    await delta([{ id: paused, state: "paused", revision: 2 }]);
    expect(await shown(cp, paused)).toMatchObject({ status: "paused" });
  });

  test("does not keep its capsules from being destroyed, and ends them when it is back", async () => {
    const ids = [await cp.runningCapsule(), await cp.runningCapsule()];
    await delta([{ id: ids[1] ?? "", state: "paused", revision: 2 }]);
    await sql`update hosts set last_report_at = now() - interval '91 seconds'`.execute(cp.database.kysely);
    for (const id of ids) {
      expect((await cp.request("DELETE", `/v1/capsules/${id}`)).statusCode).toBe(204);
      expect(await shown(cp, id)).toMatchObject({ state: "stopped", reason: "host_unreachable" });
    }
    expect(destroyed).toEqual([]);
    expect(await delta([])).toMatchObject({ full_wanted: true });
    await cp.host.told(ids.map((id) => ({ id, state: "running" })));
    await cp.background[Symbol.asyncDispose]();
    expect(destroyed.sort()).toEqual([...ids].sort());
  });
});
