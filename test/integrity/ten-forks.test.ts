import { expect, inject, test } from "vitest";
import { Api } from "../support/api.ts";
import "../support/provided.ts";
import { Guest } from "./support/guest.ts";
import { fork } from "./support/operate.ts";

const api = new Api(inject("platform"));

/** Seconds by which a clock may be wrong, the way of the question included. */
const clockTolerance = 2;

interface Individual {
  readonly hostname: string;
  readonly machineId: string;
  /** Of a process that is new, and of one that was there before the fork. */
  readonly urandom: string;
  readonly held: string;
  /** By how many seconds its clock is behind, or before, that of this machine. */
  readonly clockError: number;
}

async function individual(guest: Guest): Promise<Individual> {
  const text = await guest.sh(
    "head -c 64 /dev/urandom | od -An -v -tx1 | tr -d ' \\n'; echo; hostname; cat /etc/machine-id; date +%s.%N",
  );
  const clockError = Math.abs(Number(text.trim().split("\n")[3]) - Date.now() / 1000);
  const [urandom = "", hostname = "", machineId = ""] = text.split("\n");
  return { urandom, hostname, machineId, held: await guest.heldRandom(), clockError };
}

test("ten forks of one capsule are ten computers: random numbers, machine ids, host names, and the right time", async () => {
  await using stack = new AsyncDisposableStack();
  const source = new Guest(api, (await api.capsule(stack, { memory_mb: 512 })).id);
  await source.prepare(1);
  const { held, memory } = await source.state();
  const copies = (await fork(api, stack, source.id, 10)).map(({ id }) => new Guest(api, id));

  const all = await Promise.all([source, ...copies].map(individual));
  for (const [i, { urandom, machineId, clockError }] of all.entries()) {
    expect(urandom, `of ${i}`).toMatch(/^[0-9a-f]{128}$/);
    expect(machineId, `of ${i}`).toMatch(/^[0-9a-f]{32}$/);
    expect(clockError, `of ${i}`).toBeLessThan(clockTolerance);
  }
  const streams = all.flatMap(({ urandom, held: bytes }) => [urandom, bytes]);
  expect(new Set(streams).size).toBe(2 * all.length);
  expect(new Set(all.map(({ machineId }) => machineId)).size).toBe(all.length);
  expect(all.map(({ hostname }) => hostname)).toEqual([source, ...copies].map(({ id }) => id));
  // What they have in common is what the source had.
  for (const copy of copies) expect(await copy.state()).toMatchObject({ held, memory });
});
