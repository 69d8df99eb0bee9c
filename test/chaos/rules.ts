import type { UpdateCapsuleBody } from "@wrenn/contracts/rest";

/** The time rules of a capsule, as the API shows them. */
export type Rules = Required<Omit<UpdateCapsuleBody, "metadata">>;

export const usualRules: Rules = { timeout_sec: 0, max_run_sec: 0, on_timeout: "pause", auto_resume: false };

/** Rules that clients choose among; those of the last one pause a capsule that nobody uses for a moment. */
export const rulesChoices: readonly Rules[] = [
  usualRules,
  { ...usualRules, auto_resume: true },
  { ...usualRules, timeout_sec: 3_600, max_run_sec: 7_200, on_timeout: "destroy" },
  { ...usualRules, timeout_sec: 2, auto_resume: true },
];

export function rulesText({ timeout_sec, max_run_sec, on_timeout, auto_resume }: Rules): string {
  return JSON.stringify({ timeout_sec, max_run_sec, on_timeout, auto_resume });
}

/** Whether rules pause a capsule within the time that a round takes. */
export function pausesSoon({ timeout_sec }: Rules): boolean {
  return timeout_sec > 0 && timeout_sec < 600;
}
