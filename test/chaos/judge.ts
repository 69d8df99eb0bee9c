import type { ErrorCode } from "@wrenn/contracts";
import type { Answer } from "./answer.ts";

/** What an answer says of an operation: it was done, it was not, or nobody knows. */
export type Verdict = "done" | "refused" | "unknown";

export interface Circumstances {
  /** Status of success. */
  readonly success: number;
  /** Nothing that anybody else did could stand in its way. */
  readonly certain: boolean;
  /** Another operation was on the same capsule: what reaches into the guest is cut off by one that ends its machine. */
  readonly contended: boolean;
  /** Something was killed shortly before or meanwhile. */
  readonly disturbed: boolean;
}

/** Refusals that say that the operation was not done, and why. */
const refusals: readonly ErrorCode[] = [
  "invalid_state",
  "conflict",
  "request_in_progress",
  "template_in_use",
  "name_taken",
  "not_found",
];

/** Tells what became of an operation; and what is wrong with the answer, if anything is. */
export function judge(answer: Answer, circumstances: Circumstances): { verdict: Verdict; problem?: string } {
  const { status, code } = answer;
  const { success, certain, contended, disturbed } = circumstances;
  if (status === success) return { verdict: "done" };
  const text = `was answered ${status} ${code} ${JSON.stringify(answer.body ?? "").slice(0, 400)}`;
  if ((refusals as readonly string[]).includes(code)) {
    if (!certain || disturbed) return { verdict: "refused" };
    return { verdict: "refused", problem: `${text}, although nothing stood in its way` };
  }
  if (contended && code === "agent_error") return { verdict: "unknown" };
  const excusable = status === 0 ? code !== "no_answer_in_time" : status > 500;
  if (excusable && disturbed) return { verdict: "unknown" };
  return { verdict: "unknown", problem: `${text}${disturbed ? "" : ", while nothing was killed"}` };
}
