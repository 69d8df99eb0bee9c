import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import { describe, expect, inject, test } from "vitest";
import { Api } from "../support/api.ts";
import "../support/provided.ts";
import { guestUrl } from "../support/machines.ts";
import { startInBackground, untilListening } from "./support/background.ts";
import { Guest } from "./support/guest.ts";
import { fork, operate } from "./support/operate.ts";
import {
  addressOf,
  askPair,
  connectTo,
  established,
  exchange,
  readAll,
  startLoopbackPair,
} from "./support/talk.ts";
import { expirations, startTimer, timerPeriodMs } from "./support/timer.ts";

/**
 * What goes wrong when a machine is started twice from one moment, or later than it stopped. That memory is counted whole
 * and not as at first, and that a host refuses what it cannot restore, is tested beside the host agent's code.
 */
const api = new Api(inject("platform"));
const { wrennDir } = api.platform;
const small = { memory_mb: 256 };

async function newGuest(stack: AsyncDisposableStack): Promise<Guest> {
  return new Guest(api, (await api.capsule(stack, small)).id);
}

async function forks(stack: AsyncDisposableStack, source: Guest, count: number): Promise<Guest[]> {
  return (await fork(api, stack, source.id, count)).map(({ id }) => new Guest(api, id));
}

describe("hazards of cloning", () => {
  test("shared randomness: what two clones and their source get of their kernels is never the same", async () => {
    await using stack = new AsyncDisposableStack();
    const source = await newGuest(stack);
    await source.prepare(1);
    const guests = [source, ...(await forks(stack, source, 2))];
    const drawn: string[] = [];
    for (const guest of guests) drawn.push(await guest.heldRandom());
    // Paused and resumed, a machine is at the same moment again.
    await operate(api, source.id, "pause");
    drawn.push((await (await forks(stack, source, 1))[0]?.heldRandom()) ?? "");
    await operate(api, source.id, "resume");
    drawn.push(await source.heldRandom());
    for (const bytes of drawn) expect(bytes).toMatch(/^[0-9a-f]{128}$/);
    expect(new Set(drawn).size).toBe(drawn.length);
  });

  test("stale clock: a resumed capsule has the time at once, and its timers do not make up for the pause", async () => {
    await using stack = new AsyncDisposableStack();
    const guest = await newGuest(stack);
    await startTimer(guest);
    const startedAt = performance.now();
    const before = await expirations(guest);
    await operate(api, guest.id, "pause");
    const pausedAt = performance.now();
    await sleep(4000);
    const pausedMs = performance.now() - pausedAt;
    await operate(api, guest.id, "resume");
    const clock = Number(await guest.sh("date +%s.%N"));
    expect(Math.abs(clock - Date.now() / 1000)).toBeLessThan(2);
    const expired = (await expirations(guest)) - before;
    const ranMs = performance.now() - startedAt - pausedMs;
    expect(expired).toBeGreaterThan(0);
    expect(expired).toBeLessThanOrEqual(Math.ceil(ranMs / timerPeriodMs) + 1);
  });

  test("duplicated credentials: the token of one opens no other, clone or source", async () => {
    await using stack = new AsyncDisposableStack();
    const source = await newGuest(stack);
    const guests = [source, ...(await forks(stack, source, 2))];
    const tokens = await Promise.all(guests.map(({ id }) => accessToken(id)));
    expect(new Set(tokens).size).toBe(guests.length);
    for (const [i, { id }] of guests.entries()) {
      const url = `${await guestUrl(wrennDir, id)}/files?path=/etc/hostname`;
      for (const [j, token] of tokens.entries()) {
        const { status } = await fetch(url, { headers: { "x-access-token": token } });
        expect(status, `token of ${j} at ${i}`).toBe(i === j ? 200 : 401);
      }
    }
  });

  test("duplicated network identity: clones that run at once are each reached at an address of their own", async () => {
    await using stack = new AsyncDisposableStack();
    const source = await newGuest(stack);
    await startInBackground(source, "socat TCP-LISTEN:8000,fork,reuseaddr,backlog=64 SYSTEM:hostname");
    await untilListening(source, 8000);
    const guests = [source, ...(await forks(stack, source, 2))];
    const addresses = await Promise.all(guests.map(({ id }) => addressOf(wrennDir, id)));
    expect(new Set(addresses).size).toBe(guests.length);
    const asked = Array.from({ length: 8 }, () => guests).flat();
    const answers = asked.map(async ({ id }) => {
      return (await readAll(await connectTo(stack, wrennDir, id, 8000))).trim();
    });
    expect(await Promise.all(answers)).toEqual(asked.map(({ id }) => id));
  });

  test("inherited connections: those to outside end in a clone and on resume, those within live on", async () => {
    await using stack = new AsyncDisposableStack();
    const source = await newGuest(stack);
    await startInBackground(source, "socat TCP-LISTEN:5000,fork,reuseaddr EXEC:cat");
    await untilListening(source, 5000);
    await startLoopbackPair(source);
    expect(await askPair(source, "one")).toBe("one");
    const outside = await connectTo(stack, wrennDir, source.id, 5000);
    expect(await exchange(outside, "before")).toBe("before");
    expect(await established(source, 5000)).toBe(1);

    const [clone] = await forks(stack, source, 1);
    if (!clone) throw new Error("there is no clone");
    expect(await established(clone, 5000)).toBe(0);
    expect(await askPair(clone, "two")).toBe("two");
    // The source has noticed nothing.
    expect(await exchange(outside, "after")).toBe("after");
    expect(await askPair(source, "three")).toBe("three");

    await operate(api, source.id, "pause");
    await operate(api, source.id, "resume");
    expect(await established(source, 5000)).toBe(0);
    expect(await askPair(source, "four")).toBe("four");
    // The service is there for new ones.
    expect(await exchange(await connectTo(stack, wrennDir, source.id, 5000), "again")).toBe("again");
  });

  test("disk that does not match memory: what memory says is written is on the disk of every clone", async () => {
    await using stack = new AsyncDisposableStack();
    const source = await newGuest(stack);
    // Each line is on the disk before its number is in memory.
    const step =
      "n=$((n + 1)); echo $n >> /root/lines; sync /root/lines; echo $n > /run/n.new; mv /run/n.new /run/n";
    await startInBackground(source, `n=0; while :; do ${step}; done`);
    await source.sh("until [ -s /run/n ]; do sleep 0.1; done");
    let before = 0;
    for (let round = 0; round < 3; round += 1) {
      for (const clone of await forks(stack, source, 1)) await expectDiskNotBehind(clone);
      await operate(api, source.id, "pause");
      await operate(api, source.id, "resume");
      const written = await expectDiskNotBehind(source);
      expect(written).toBeGreaterThan(before);
      before = written;
    }
  });
});

/** Stops the writer and compares. @returns what memory says is written. */
async function expectDiskNotBehind(guest: Guest): Promise<number> {
  const text = await guest.sh("cat /run/n; dd if=/root/lines bs=64K iflag=direct status=none");
  const [acknowledged = 0, ...lines] = text.trim().split("\n").map(Number);
  expect(lines).toEqual(lines.map((_, i) => i + 1));
  expect(lines.length).toBeGreaterThanOrEqual(acknowledged);
  return acknowledged;
}

/** The token that opens a capsule's guest agent: the newest that the host's journal has. */
async function accessToken(id: string): Promise<string> {
  const journal = await readFile(join(wrennDir, "journal", `${id}.journal`), "utf8");
  const tokens = [...journal.matchAll(/"accessToken":"([^"]+)"/g)].map(([, token]) => token);
  const token = tokens.at(-1);
  if (token === undefined) throw new Error(`no token of ${id} is in its journal`);
  return token;
}
