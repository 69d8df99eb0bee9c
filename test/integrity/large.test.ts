import { expect, inject, test } from "vitest";
import { Api } from "../support/api.ts";
import "../support/provided.ts";
import { askedAgain, Guest } from "./support/guest.ts";
import { highPages } from "./support/high-pages.ts";
import { fork, operate } from "./support/operate.ts";

const api = new Api(inject("platform"));

test("a guest of 4 GiB with two processors is paused, forked and resumed, with what it has above 3 GiB", async () => {
  await using stack = new AsyncDisposableStack();
  const { id } = await api.capsule(stack, { vcpus: 2, memory_mb: 4096 });
  const guest = new Guest(api, id);
  await guest.prepare(8);
  let kept = await guest.state();
  expect(await highPages(guest, kept.holderPid)).toBeGreaterThan(1024);

  await operate(api, id, "pause");
  // A paused capsule is forked without being resumed.
  const [ofPaused] = await fork(api, stack, id);
  expect(await new Guest(api, ofPaused.id).state()).toEqual(askedAgain(kept));
  await operate(api, id, "resume");
  kept = askedAgain(kept);
  expect(await guest.state()).toEqual(kept);

  const [ofRunning] = await fork(api, stack, id);
  expect(await new Guest(api, ofRunning.id).state()).toEqual(askedAgain(kept));
  expect(await guest.state()).toEqual(askedAgain(kept));
  expect((await guest.sh("nproc")).trim()).toBe("2");
});
