import type { Capsule } from "@wrenn/contracts/rest";
import type { Api } from "@wrenn/test/support/api";
import { timed } from "./statistics.ts";

/** Pauses or resumes a capsule. @returns milliseconds until the API says that it is done. */
export async function operate(api: Api, id: string, operation: "pause" | "resume"): Promise<number> {
  const { ms, value } = await timed(() => api.call("POST", `/v1/capsules/${id}/${operation}`, {}));
  if (value.status !== 200) throw new Error(`${operation} answered ${value.status}: ${await value.text()}`);
  await value.body?.cancel();
  return ms;
}

export interface Forked {
  readonly copies: readonly Capsule[];
  /** Until all of them run. */
  readonly ms: number;
}

/** Forks a capsule. The copies are destroyed with the stack. */
export async function fork(
  api: Api,
  stack: AsyncDisposableStack,
  id: string,
  count: number,
): Promise<Forked> {
  const { ms, value } = await timed(() => api.call("POST", `/v1/capsules/${id}/fork`, { count }));
  if (value.status !== 201) throw new Error(`fork answered ${value.status}: ${await value.text()}`);
  const copies = (await value.json()) as Capsule[];
  for (const copy of copies) {
    stack.defer(async () => void (await api.call("DELETE", `/v1/capsules/${copy.id}`)));
  }
  return { copies, ms };
}
