import fc, { type Arbitrary } from "fast-check";

/** Any bytes, each as the character of its number. */
export function bytes(maxLength = 64): Arbitrary<string> {
  return fc.uint8Array({ maxLength }).map((array) => Buffer.from(array).toString("latin1"));
}

/** One change of a text, at a place that is a share of its length. */
interface Edit {
  readonly kind: "replace" | "insert" | "remove" | "repeat" | "cut";
  readonly at: number;
  readonly length: number;
  readonly bytes: string;
}

const edit: Arbitrary<Edit> = fc.record({
  kind: fc.constantFrom("replace", "insert", "remove", "repeat", "cut"),
  at: fc.double({ min: 0, max: 1, noNaN: true }),
  length: fc.integer({ min: 1, max: 12 }),
  bytes: bytes(8),
});

function apply(text: string, { kind, at, length, bytes }: Edit): string {
  const start = Math.floor(at * text.length);
  const [before, piece, after] = [
    text.slice(0, start),
    text.slice(start, start + length),
    text.slice(start + length),
  ];
  switch (kind) {
    case "replace":
      return before + bytes + after;
    case "insert":
      return before + bytes + piece + after;
    case "remove":
      return before + after;
    case "repeat":
      return before + piece.repeat(3) + after;
    case "cut":
      return before;
  }
}

/** A text with some bytes changed, or none. */
export function mutated(text: Arbitrary<string>, most = 4): Arbitrary<string> {
  const edits = fc.array(edit, { maxLength: most });
  return fc.tuple(text, edits).map(([original, changes]) => changes.reduce(apply, original));
}

/** Nested more deeply than any reader should follow. */
export const bottomless: Arbitrary<string> = fc
  .tuple(
    fc.constantFrom("[", '{"process":', '{"a":[', "\x0b", "\x0a\x7f", '{"process":{"config":'),
    fc.constantFrom(100, 10_000, 300_000),
  )
  .map(([opening, depth]) => opening.repeat(Math.ceil(depth / opening.length)));
