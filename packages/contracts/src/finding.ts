/** `failing`: nothing runs before it is mended. `warning`: it runs, and something is lost. */
export const findingStatuses = ["ok", "warning", "failing"] as const;

export type FindingStatus = (typeof findingStatuses)[number];

/** What one look at a requirement of the machine found, for the person who has to mend it. */
export interface Finding {
  /** The requirement, in a word or two; the same in every run. */
  readonly name: string;
  readonly status: FindingStatus;
  /** What was found, in a sentence without an end mark. */
  readonly detail: string;
  /** What to do about it; absent when nothing has to be done. */
  readonly cure?: string;
}

/** Narrows what another program printed. */
export function isFinding(value: unknown): value is Finding {
  if (typeof value !== "object" || value === null) return false;
  const { name, status, detail, cure } = value as Record<string, unknown>;
  return (
    typeof name === "string" &&
    findingStatuses.some((known) => known === status) &&
    typeof detail === "string" &&
    (cure === undefined || typeof cure === "string")
  );
}
