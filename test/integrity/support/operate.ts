import type { Capsule } from "@wrenn/contracts/rest";
import type { Api } from "../../support/api.ts";

/** What moves a capsule from one state to another and back. */
export type Operation = "pause" | "resume" | "hibernate";

/** Does it, and answers the capsule as it is then. */
export async function operate(api: Api, id: string, operation: Operation, body?: unknown): Promise<Capsule> {
  const response = await api.call("POST", `/v1/capsules/${id}/${operation}`, body);
  if (response.status !== 200)
    throw new Error(`${operation} answered ${response.status}: ${await response.text()}`);
  return (await response.json()) as Capsule;
}

/** Copies of a capsule, destroyed with the stack. */
export async function fork(
  api: Api,
  stack: AsyncDisposableStack,
  id: string,
  count = 1,
): Promise<[Capsule, ...Capsule[]]> {
  const response = await api.call("POST", `/v1/capsules/${id}/fork`, { count });
  if (response.status !== 201) throw new Error(`fork answered ${response.status}: ${await response.text()}`);
  const copies = (await response.json()) as [Capsule, ...Capsule[]];
  for (const copy of copies) stack.defer(() => destroy(api, copy.id));
  if (copies.length !== count) throw new Error(`asked for ${count} copies, got ${copies.length}`);
  return copies;
}

export async function destroy(api: Api, id: string): Promise<void> {
  const response = await api.call("DELETE", `/v1/capsules/${id}`);
  if (response.status !== 204)
    throw new Error(`destroy answered ${response.status}: ${await response.text()}`);
}
