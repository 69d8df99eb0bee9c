import { randomInt } from "node:crypto";
import fc, { type Arbitrary } from "fast-check";
import { expect } from "vitest";
import type { Guest } from "../guest.ts";
import { type Ending, talk } from "./talk.ts";
import { request } from "./values.ts";

/** What to begin with to see again what another run has seen. */
export const seed = Number(process.env.FUZZ_SEED ?? randomInt(2 ** 31));

const health = request("GET", "/health", [], "");
/** Who sends more than so much before reading may lose an early answer: TCP resets what is closed with bytes unread. */
const wholeBytes = 8 * 1024;
/** At once, each over a connection of its own. */
const lanes = 6;

/**
 * Sends a guest agent random requests for some time. After each few of them it must be there, must not have panicked, and
 * must have put down nothing to a failure of its own. What does not pass is made smaller and shown.
 */
export async function fuzz(
  guest: Guest,
  requests: Arbitrary<string>,
  milliseconds: number,
  ending: Ending = {},
): Promise<void> {
  const some = fc.array(requests, { minLength: 1, maxLength: lanes });
  const property = fc.asyncProperty(some, async (texts) => {
    const answers = await Promise.all(texts.map((text) => talk(guest.baseUrl, text, ending)));
    for (const [index, answer] of answers.entries()) {
      if (!ending.hangUp && (texts[index] ?? "").length < wholeBytes)
        expect(answer).toMatch(/^HTTP\/1\.1 \d/);
      judge(answer);
      await forget(guest, answer);
    }
    expect(await talk(guest.baseUrl, health)).toMatch(/^HTTP\/1\.1 204 /);
    expect(await guest.options.log?.()).not.toContain("panic at");
  });
  await fc.assert(property, {
    seed,
    numRuns: Number.MAX_SAFE_INTEGER,
    interruptAfterTimeLimit: milliseconds,
    markInterruptAsFailure: false,
  });
}

/** Statuses from 500 on that say something of the request: what is not offered, nobody there, too late, no space. */
const meant = [501, 502, 504, 507];

/** An answer must not speak of a failure of the agent's own. */
function judge(answer: string): void {
  for (const [, status] of answer.matchAll(/^HTTP\/1\.[01] (\d{3})/gm))
    expect(Number(status) < 500 || meant.includes(Number(status)), answer.slice(0, 2000)).toBe(true);
  // A compressed envelope of a stream without a compression is `internal` in the protocol of Connect.
  const others = answer
    .slice(0, 2000)
    .replace(/"internal","message":"received compressed message without/, "");
  expect(others).not.toMatch(/"code":\s?"(internal|unavailable)"/);
}

/** Watchers are kept for those who ask for their events; nobody will. */
async function forget(guest: Guest, answer: string): Promise<void> {
  for (const [watcherId] of answer.matchAll(/w[0-9a-f]{32}/g))
    await guest.filesystem.removeWatcher({ watcherId });
}
