import type { Arbitrary } from "fast-check";
import { beforeAll, describe, expect, test } from "vitest";
import type { Guest } from "../guest.ts";
import { eachTarget } from "../targets.ts";
import { expectSame, offerVictims, prepare, type Rest, rest } from "./agent.ts";
import { call } from "./calls.ts";
import { file } from "./files.ts";
import { plain } from "./plain.ts";
import { raw } from "./raw.ts";
import { fuzz, seed } from "./run.ts";
import type { Ending } from "./talk.ts";

interface Surface {
  readonly name: string;
  readonly requests: (token: string) => Arbitrary<string>;
  readonly ending?: Ending;
}

const surfaces: readonly Surface[] = [
  { name: "bytes at its port", requests: raw, ending: { hangUp: true } },
  { name: "calls of its services, in both codecs", requests: call },
  { name: "requests to /files", requests: file },
  { name: "requests to everything else", requests: plain },
];

/**
 * The suite of random requests, each surface for some time. Against a bare agent alone: what is under test is the agent's
 * own code, which is the same in a capsule, and there a wrong guess could be right and make another machine of it.
 */
export function defineFuzz(secondsEach: number): void {
  // In the name, so that whatever happens says what to begin with to see it again.
  describe(`FUZZ_SEED=${seed}`, () => {
    eachTarget((guest) => {
      let before: Rest;
      beforeAll(async () => {
        await prepare(guest());
        await everySurface(guest(), warmUpSeconds);
        before = await rest(guest());
      });

      test.each(surfaces)("the agent survives random $name", async ({ requests, ending }) => {
        await offerVictims(guest());
        await fuzz(guest(), requests(guest().token), secondsEach * 1_000, ending);
      });

      test("and then holds what it held before", async () => {
        expectSame(await rest(guest()), before);
        expect(await guest().options.log?.()).not.toMatch(/"level":"error"|panic at/);
      });
    }, "bare");
  });
}

/** Has the heap grow to what such requests need, and what is kept of ended processes to its bound. */
const warmUpSeconds = 2;

async function everySurface(guest: Guest, seconds: number): Promise<void> {
  await offerVictims(guest);
  for (const { requests, ending } of surfaces)
    await fuzz(guest, requests(guest.token), seconds * 1_000, ending);
}
