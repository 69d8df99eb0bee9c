import fc from "fast-check";
import { expect, test } from "vitest";
import { shellExitCode } from "./exit-code.ts";
import { BoundedOutput, encodeOutput } from "./output.ts";

const collect = (chunks: Uint8Array[], limit: number): BoundedOutput => {
  const output = new BoundedOutput(limit);
  for (const chunk of chunks) output.push(chunk);
  return output;
};

test("keeps every byte up to the limit, however they arrive", () => {
  fc.assert(
    fc.property(fc.array(fc.uint8Array({ maxLength: 20 })), fc.nat(100), (chunks, limit) => {
      const all = Buffer.concat(chunks);
      const output = collect(chunks, limit);
      expect(output.truncated).toBe(all.length > limit);
      const kept = output.bytes();
      expect(all.subarray(0, kept.length).equals(kept)).toBe(true);
      expect(kept.length).toBeLessThanOrEqual(limit);
      expect(kept.length).toBeGreaterThanOrEqual(Math.min(all.length, limit - 3));
    }),
  );
});

test("text stays text wherever it is cut", () => {
  fc.assert(
    fc.property(fc.string({ unit: "grapheme" }), fc.nat(40), (text, limit) => {
      const encoded = encodeOutput(collect([Buffer.from(text.toWellFormed())], limit), collect([], limit));
      expect(encoded.encoding).toBe("utf-8");
      expect(text.toWellFormed().startsWith(encoded.stdout)).toBe(true);
    }),
  );
});

test("exit codes are those of a shell", () => {
  expect(shellExitCode({ exitCode: 7, signal: 0 })).toBe(7);
  expect(shellExitCode({ exitCode: -1, signal: 9 })).toBe(137);
});
