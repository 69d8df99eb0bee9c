import { expect, test } from "vitest";
import { crash } from "./support/crash.ts";
import { eachTarget } from "./support/targets.ts";
import { Transcript } from "./support/transcript.ts";

/** Printed with pauses, so that there is something to come whenever the agent dies. */
const lines = 100_000;
const script = `i=0
while [ $i -lt ${lines} ]; do seq $((i + 1)) $((i + 1000)); i=$((i + 1000)); sleep 0.02; done
exit 7`;
const truth = Buffer.from(Array.from({ length: lines }, (_, index) => `${index + 1}\n`).join(""));

eachTarget(
  (guest) => {
    test("whenever the agent dies, what is missing of the output is in a gap, and all else in its place", async () => {
      const tag = "agent-death-output";
      const process = { cmd: "/bin/sh", args: ["-c", script] };
      const transcript = new Transcript(guest(), { selector: { case: "tag", value: tag } });
      const ended = transcript.follow(guest().as({ user: "root" }).processes.start({ process, tag }));
      for (let death = 0; death < 5; death++) {
        await transcript.until(((death + 1) * truth.length) / 6);
        await crash(guest());
      }
      expect((await ended).exitCode).toBe(7);
      expect(transcript.position).toBeGreaterThanOrEqual(truth.length);
      for (const piece of transcript.pieces) expect(truth.includes(piece)).toBe(true);
      const length = transcript.pieces.reduce((sum, piece) => sum + piece.length, 0);
      expect(length + transcript.lost).toBe(transcript.position);
    });
  },
  undefined,
  ["--supervise"],
);
