import type { Parse } from "@wrenn/daemon";

/** Most machines that wait for one template. */
const most = 64;

/** How many machines wait to be claimed, by template. */
export type PoolSizes = ReadonlyMap<string, number>;

/** Parses `minimal=2,other=0`; nothing is no template. */
export const poolSizes: Parse<PoolSizes> = (value) => {
  const entries = value.split(",").filter((part) => part.trim() !== "");
  return new Map(entries.map(entryOf));
};

function entryOf(text: string): [string, number] {
  const [, template, digits] = /^\s*([a-zA-Z0-9][a-zA-Z0-9._-]{0,63})=(\d{1,3})\s*$/.exec(text) ?? [];
  const size = Number(digits);
  if (template === undefined || size > most) {
    throw new Error(`must look like minimal=2,other=0, each number at most ${most}`);
  }
  return [template, size];
}
