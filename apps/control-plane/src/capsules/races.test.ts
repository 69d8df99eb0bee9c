import { type CapsuleState, canBecome, isTransitional } from "@wrenn/contracts";
import type { Capsule } from "@wrenn/contracts/rest";
import { sql } from "kysely";
import { describe, expect, test } from "vitest";
import { settleAbandoned } from "../reports/settler.ts";
import { shown, type TestControlPlane, type TestReplica } from "../testing/control-plane.ts";
import { LifecycleHost } from "../testing/lifecycle-host.ts";
import { withControlPlane } from "../testing/with-control-plane.ts";

let cp: TestControlPlane;
let other: TestReplica;
let onHost: LifecycleHost;
let id: string;
withControlPlane(async (started) => {
  cp = started;
  other = await cp.newReplica();
  onHost = new LifecycleHost();
  cp.agent.answers = onHost.answers;
  id = (await cp.request("POST", "/v1/capsules")).json<Capsule>().id;
});

interface Step {
  capsule: string;
  from: CapsuleState | null;
  to: CapsuleState;
  generation: bigint;
}

async function steps(): Promise<Step[]> {
  const { rows } =
    await sql<Step>`select capsule_id as capsule, from_state as from, to_state as to, generation
    from capsule_transitions order by id`.execute(cp.database.kysely);
  return rows;
}

/** Each capsule's rows are one path through the state table, and generations only grow. */
async function expectLegalHistories(): Promise<void> {
  for (const [capsule, path] of Map.groupBy(await steps(), (step) => step.capsule)) {
    let at: Step | undefined;
    for (const step of path) {
      const line = `${capsule}: ${step.from} to ${step.to}`;
      expect(step.from, line).toBe(at?.to ?? null);
      if (at) expect(canBecome(at.to, step.to), line).toBe(true);
      if (at) expect(step.generation >= at.generation, line).toBe(true);
      at = step;
    }
  }
}

/** Rows and host agree, and nothing is under way. */
async function expectAgreement(): Promise<void> {
  const rows = await cp.database.kysely.selectFrom("capsules").selectAll().execute();
  for (const row of rows) expect(isTransitional(row.state), `${row.id} is ${row.state}`).toBe(false);
  const live = rows.filter((row) => row.state !== "stopped").map((row) => [row.id, row.state]);
  const there = [...onHost.capsules.values()].map((kept) => [kept.id, kept.state]);
  expect(there.sort()).toEqual(live.sort());
}

const ask = (replica: Pick<TestReplica, "inject">, method: "POST" | "DELETE", path = "") =>
  replica.inject({ method, url: `/v1/capsules/${id}${path}`, headers: { "x-api-key": cp.apiKey } });

describe("twenty commands at once for one capsule, at two control planes", () => {
  const kinds = ["/pause", "/resume", "/fork", "/hibernate"];

  test("are done one after the other, or refused, and it is where the last one brought it", async () => {
    onHost.delayMs = 20;
    const codes = new Set<number>();
    for (let round = 0; round < 4; round += 1) {
      const asked = Array.from({ length: 20 }, (_, index) =>
        ask(index % 2 === 0 ? cp : other, "POST", kinds[(index + round) % kinds.length]),
      );
      for (const { statusCode } of await Promise.all(asked)) codes.add(statusCode);
    }
    expect([...codes].filter((code) => ![200, 201, 409].includes(code))).toEqual([]);
    expect(codes).toContain(409);
    await expectLegalHistories();
    await expectAgreement();
  });

  test("with a destroy among them end with it, and leave nothing", async () => {
    onHost.delayMs = 20;
    const asked = Array.from({ length: 20 }, (_, index) => {
      const replica = index % 2 === 0 ? cp : other;
      return index % 5 === 4 ? ask(replica, "DELETE") : ask(replica, "POST", kinds[index % kinds.length]);
    });
    const answers = await Promise.all(asked);
    const wrong = answers.filter(({ statusCode }) => ![200, 201, 204, 409].includes(statusCode));
    expect(wrong.map(({ body }) => body)).toEqual([]);
    expect(await shown(cp, id)).toMatchObject({ state: "stopped", reason: "destroyed" });
    await cp.host.told([...onHost.capsules.keys()].map((kept) => onHost.reported(kept)));
    await cp.background[Symbol.asyncDispose]();
    await expectLegalHistories();
    await expectAgreement();
  });

  test("and reports of the host meanwhile change nothing that is under way", async () => {
    onHost.delayMs = 20;
    const asked = Array.from({ length: 20 }, (_, index) => ask(cp, "POST", kinds[index % 2]));
    for (let report = 0; report < 5; report += 1) {
      const everything = [...onHost.capsules.keys()].map((kept) => onHost.reported(kept));
      await cp.host.told(everything, {}, report % 2 === 0 ? cp.inject : other.inject);
    }
    const answers = await Promise.all(asked);
    expect(answers.filter(({ statusCode }) => statusCode !== 200 && statusCode !== 409)).toEqual([]);
    await expectLegalHistories();
    await expectAgreement();
  });
});

describe("a control plane that dies between the host's answer and its row", () => {
  /** Its replica is gone and its work with it; what it asked the host for goes on. */
  async function die(): Promise<void> {
    await sql`delete from control_planes`.execute(cp.database.kysely);
    await sql`update capsules set updated_at = now() - interval '16 seconds'`.execute(cp.database.kysely);
  }

  test.each([
    ["pause", "pausing", "paused", []],
    ["resume", "resuming", "running", ["pause"]],
    ["hibernate", "hibernating", "hibernated", ["pause"]],
  ] as const)("during %s leaves what another finishes", async (kind, during, goal, before) => {
    for (const step of before) await ask(cp, "POST", `/${step}`);
    const [row] = await cp.settling.store.findMany([id]);
    if (!row) throw new Error("no row");
    await other.settling.store.move(row, during, { generation: row.generation + 1n });
    await die();
    await settleAbandoned(cp.settling);
    expect(await shown(cp, id)).toMatchObject({ state: goal });
    expect(onHost.done.at(-1)).toBe(`${kind} ${row.generation + 1n}`);
    const answered = onHost.done.length;

    // The host had done it, and only the row was not written.
    await sql`update capsules set state = ${during}, updated_at = now() - interval '16 seconds'`.execute(
      cp.database.kysely,
    );
    await settleAbandoned(cp.settling);
    expect(await shown(cp, id)).toMatchObject({ state: goal });
    expect(onHost.done).toHaveLength(answered);
  });

  test("is waited for while the host is at it", async () => {
    const [row] = await cp.settling.store.findMany([id]);
    if (!row) throw new Error("no row");
    await other.settling.store.move(row, "pausing", { generation: 2n });
    onHost.capsules.set(id, { id, state: "pausing", generation: 2n, revision: 9n });
    await die();
    await settleAbandoned(cp.settling);
    expect(await shown(cp, id)).toMatchObject({ state: "pausing" });
    onHost.change(id, "running", "host_disk_full");
    await settleAbandoned(cp.settling);
    expect(await shown(cp, id)).toMatchObject({ state: "running", reason: "host_disk_full" });
  });
});
