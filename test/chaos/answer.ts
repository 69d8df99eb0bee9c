import type { ErrorCode } from "@wrenn/contracts";

/** How a request ended: with an answer, or with none (status 0). */
export interface Answer {
  readonly status: number;
  readonly code: ErrorCode | string;
  readonly body: unknown;
}

/** Longer than any operation may take, on a machine that is busy with killing and starting. */
const patienceMs = 90_000;

/** Awaits a response with its body; a connection that breaks, or takes longer than anything may, is no answer. */
export async function answerOf(request: (signal: AbortSignal) => Promise<Response>): Promise<Answer> {
  const signal = AbortSignal.timeout(patienceMs);
  try {
    const response = await request(signal);
    const text = await response.text();
    const body: unknown = text === "" ? undefined : JSON.parse(text);
    return { status: response.status, code: codeOf(body), body };
  } catch (error) {
    if (signal.aborted) return { status: 0, code: "no_answer_in_time", body: undefined };
    return { status: 0, code: "connection_broken", body: String(error) };
  }
}

function codeOf(body: unknown): string {
  const { error } = (body ?? {}) as { error?: { code?: string } };
  return error?.code ?? "";
}
