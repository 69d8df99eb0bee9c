import { type ErrorCode, WrennError } from "@wrenn/contracts";
import type { ErrorBody } from "@wrenn/contracts/rest";

const capsule = "cl0mh8x2k1a7f3q9z5t2w8e4r6";
const host = "hs0mh8wzv4c1d6s3b9n7k5j2x8";

/** What some errors look like, for whoever reads the description of the API. */
const examples = {
  invalid_request: { message: "timeout_sec must be >= 0", field: "timeout_sec" },
  forbidden: { message: '"minimal" is the platform\'s template; it cannot be deleted' },
  not_found: { message: `there is no capsule "${capsule}"`, field: "id" },
  invalid_state: {
    message: `capsule ${capsule} is in state "paused": it allows resume, snapshot, fork, hibernate, destroy, and not pause`,
  },
  conflict: { message: `capsule ${capsule} has changed meanwhile; look at it and try again` },
  name_taken: { message: 'a snapshot with the name "mine" exists already', field: "name" },
  template_in_use: {
    message: '2 capsules were created from "mine"; destroy what is left of it, or delete it with force=true',
  },
  request_in_progress: {
    message: "the first request with this Idempotency-Key is still under way; ask again",
    field: "Idempotency-Key",
  },
  idempotency_key_reused: {
    message: "this Idempotency-Key was used for another request; use a new one for each",
    field: "Idempotency-Key",
  },
  agent_error: { message: `the agent of host ${host} at 192.0.2.7:8441 failed` },
  host_unavailable: { message: `host ${host} cannot be reached at 192.0.2.7:8441; try again` },
  host_full: { message: "the host has no room for 512 MiB of memory" },
  host_memory_full: { message: "the host has no memory for the copy: 310 MiB are changed, 120 MiB are free" },
  host_disk_full: { message: "the host's disk is full: 210 MiB are missing" },
  snapshot_corrupt: { message: "the device state of the snapshot is not what was saved" },
  snapshot_incompatible: { message: "the snapshot is of another VMM; it can be started from its disk" },
} as const satisfies Partial<Record<ErrorCode, { message: string; field?: string }>>;

/** Codes of which there is an example. */
export type ExampleCode = keyof typeof examples;

/** The whole answer with an error, and its HTTP status. */
export function exampleOf(code: ExampleCode): { status: number; body: ErrorBody } {
  const { message, ...rest } = examples[code];
  const { status } = new WrennError(code, message);
  return { status, body: { error: { code, message, ...rest, request_id: "rq0mh8x2k3p6v1y8u4i7o2a9s5" } } };
}
