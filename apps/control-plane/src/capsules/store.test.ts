import { type CapsuleState, canTransition, capsuleStates, newId } from "@wrenn/contracts";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { insertHost } from "../hosts/store.ts";
import { startTestPostgres, type TestDatabase, type TestPostgres } from "../testing/postgres.ts";
import { noteActivity } from "./activity.ts";
import { CapsuleStore } from "./store.ts";

let postgres: TestPostgres;
let database: TestDatabase;
let store: CapsuleStore;
let hostId: string;
const teamId = newId("team");

beforeAll(async () => {
  postgres = await startTestPostgres();
  database = await postgres.newDatabase();
  store = new CapsuleStore(database.kysely, "replica");
  await database.kysely.insertInto("teams").values({ id: teamId, name: "team" }).execute();
  hostId = (await insertHost(database.kysely, "regular")).id;
});
afterAll(async () => {
  await database[Symbol.asyncDispose]();
  await postgres[Symbol.asyncDispose]();
});

const insert = () =>
  store.insert({
    id: newId("capsule"),
    teamId,
    template: "minimal",
    vcpus: 1,
    memoryMib: 512,
    timeoutSec: 0,
  });

async function insertIn(state: CapsuleState) {
  const { id } = await insert();
  return database.kysely
    .updateTable("capsules")
    .set({ state, host_id: hostId })
    .where("id", "=", id)
    .returningAll()
    .executeTakeFirstOrThrow();
}

describe("a move", () => {
  test("is made exactly when the state table allows it", async () => {
    for (const from of capsuleStates) {
      for (const to of capsuleStates) {
        const moved = await store.move(await insertIn(from), to);
        expect(moved?.state, `${from} to ${to}`).toBe(canTransition(from, to) ? to : undefined);
      }
    }
  });

  test("is not made when somebody has commanded something since", async () => {
    const seen = await insertIn("running");
    const stopping = await store.move(seen, "stopping", { generation: seen.generation + 1n });
    expect(stopping?.generation).toBe(2n);
    expect(await store.move(seen, "error", { reason: "lost" })).toBeUndefined();
    expect((await store.find(teamId, seen.id))?.state).toBe("stopping");
  });

  test("is made by one of many who try", async () => {
    const seen = await insertIn("running");
    const next = seen.generation + 1n;
    const tries = await Promise.all(
      Array.from({ length: 12 }, () => store.move(seen, "stopping", { generation: next })),
    );
    expect(tries.filter(Boolean)).toHaveLength(1);
  });

  test("takes back the reason of the state before", async () => {
    const failed = await store.move(await insertIn("running"), "error", { reason: "lost" });
    expect(failed?.reason).toBe("lost");
    expect((failed && (await store.move(failed, "stopping")))?.reason).toBeNull();
  });
});

test("a generation can be larger than a number", async () => {
  const huge = 2n ** 62n;
  const seen = await insertIn("running");
  expect((await store.move(seen, "stopping", { generation: huge }))?.generation).toBe(huge);
});

test("the database itself knows every state, and no other", async () => {
  for (const state of capsuleStates) await insertIn(state);
  await expect(insertIn("asleep" as CapsuleState)).rejects.toMatchObject({ code: "23514" });
});

test("the list is newest first, without stopped ones, and comes from its index", async () => {
  const running = await insertIn("running");
  const failed = await insertIn("error");
  const stopped = await insertIn("stopped");
  const ids = (await store.list(teamId)).map(({ id }) => id);
  expect(ids.indexOf(failed.id)).toBeLessThan(ids.indexOf(running.id));
  expect(ids).not.toContain(stopped.id);

  const plan = await database.kysely.connection().execute(async (connection) => {
    await sql`set enable_seqscan = off`.execute(connection);
    return new CapsuleStore(connection, "replica").list(teamId).then(async () =>
      sql<{ "QUERY PLAN": string }>`explain select * from capsules where team_id = ${teamId}
        and state not in ('stopping', 'stopped') order by created_at desc, id desc`.execute(connection),
    );
  });
  expect(JSON.stringify(plan.rows)).toContain("capsules_team");
});

test("activity only moves forward, for many capsules at once", async () => {
  const [one, two] = [await insertIn("running"), await insertIn("running")];
  const [early, late] = [new Date("2030-01-01"), new Date("2030-01-02")];
  await noteActivity(
    database.kysely,
    new Map([
      [one.id, late],
      [two.id, early],
      ["cl-unknown", late],
    ]),
  );
  await noteActivity(
    database.kysely,
    new Map([
      [one.id, early],
      [two.id, late],
    ]),
  );
  for (const { id } of [one, two]) {
    expect((await store.find(teamId, id))?.last_active_at).toEqual(late);
  }
});
