import fc from "fast-check";
import { expect, test } from "vitest";
import { type IdKind, idPrefixes, isId, newId } from "./ids.ts";

const kinds = Object.keys(idPrefixes) as IdKind[];

test("an id is a DNS label of its kind", () => {
  for (const kind of kinds) {
    const id = newId(kind);
    expect(id).toMatch(/^[a-z]{2}[0-9a-z]{25}$/);
    expect(kinds.filter((other) => isId(other, id))).toEqual([kind]);
  }
});

test("ids sort by time of birth", () => {
  fc.assert(
    fc.property(fc.nat(2 ** 41), fc.integer({ min: 1, max: 2 ** 40 }), (time, gap) => {
      expect(newId("capsule", time) < newId("capsule", time + gap)).toBe(true);
    }),
  );
});

test("text that is not an id is refused, whatever it is", () => {
  fc.assert(fc.property(fc.string(), (text) => !isId("capsule", text)));
  for (const text of ["", "cl", `${newId("capsule")}/..`, newId("capsule").toUpperCase(), newId("team")]) {
    expect(isId("capsule", text), text).toBe(false);
  }
});
