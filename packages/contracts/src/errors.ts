/**
 * The error catalogue. `status` is the HTTP status at the REST edge; `retryable` says that the same request
 * may succeed later without a change. Codes are part of the API: add, never rename.
 */
export const errorCatalogue = {
  invalid_request: { status: 400, retryable: false },
  unauthorized: { status: 401, retryable: false },
  forbidden: { status: 403, retryable: false },
  not_found: { status: 404, retryable: false },
  /** The capsule is not in a state that allows the operation. */
  invalid_state: { status: 409, retryable: false },
  conflict: { status: 409, retryable: false },
  /** Another snapshot has the name already. */
  name_taken: { status: 409, retryable: false },
  /** Capsules that were created from the template are still there. */
  template_in_use: { status: 409, retryable: false },
  /** The first request with this Idempotency-Key is still under way. */
  request_in_progress: { status: 409, retryable: true },
  /** An Idempotency-Key that was used for another request. */
  idempotency_key_reused: { status: 422, retryable: false },
  /** A registration token that was used already. */
  token_used: { status: 401, retryable: false },
  /** A registration token that is older than an hour. */
  token_expired: { status: 401, retryable: false },
  /** Two sides that have to be one are not: certificate, token, address. */
  identity_mismatch: { status: 403, retryable: false },
  /** The clocks of two machines differ by more than certificates and reports allow. */
  clock_skew: { status: 409, retryable: true },
  /** A report of an earlier life of the agent. */
  stale_report: { status: 409, retryable: false },
  payload_too_large: { status: 413, retryable: false },
  unsupported_media_type: { status: 415, retryable: false },
  internal_error: { status: 500, retryable: false },
  /** The host agent failed in a way that is not the caller's doing. */
  agent_error: { status: 502, retryable: true },
  /** Nothing takes connections on the port of the capsule. */
  port_closed: { status: 502, retryable: true },
  /** The host agent cannot be reached. */
  host_unavailable: { status: 503, retryable: true },
  database_unavailable: { status: 503, retryable: true },
  /** The daemon is going down and takes no new work. */
  shutting_down: { status: 503, retryable: true },
  /** The command ran longer than its `timeout_sec` and was ended. */
  deadline_exceeded: { status: 504, retryable: false },
  /** The capsule's disk is full. */
  no_space: { status: 507, retryable: false },

  // What an operator has to mend; the message says how.
  config_invalid: { status: 500, retryable: false },
  vmm_missing: { status: 503, retryable: false },
  image_missing: { status: 503, retryable: false },
  image_corrupt: { status: 503, retryable: false },
  port_in_use: { status: 503, retryable: false },
  host_disk_full: { status: 503, retryable: true },
  host_memory_full: { status: 503, retryable: true },
  /** A host has no room for it: memory, disk, or the number of capsules. Another host may have. */
  host_full: { status: 503, retryable: true },
  /** A snapshot that is not what was saved: truncated, damaged, or of another base. It is never started. */
  snapshot_corrupt: { status: 503, retryable: false },
  /** A snapshot that this host cannot restore: another VMM build or processor. It can be started from its disk. */
  snapshot_incompatible: { status: 503, retryable: false },
  /** A file of the agent's journal that cannot be read, or that a newer agent wrote. */
  journal_unreadable: { status: 503, retryable: false },
} as const satisfies Record<string, { status: number; retryable: boolean }>;

export type ErrorCode = keyof typeof errorCatalogue;

export interface WrennErrorOptions {
  /** The request field that is wrong, as the client spelled it. */
  field?: string | undefined;
  cause?: unknown;
}

/** The one error that services throw. The message is safe to show to the caller; `cause` is for the log. */
export class WrennError extends Error {
  readonly code: ErrorCode;
  readonly field: string | undefined;

  constructor(code: ErrorCode, message: string, options: WrennErrorOptions = {}) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.name = "WrennError";
    this.code = code;
    this.field = options.field;
  }

  /** HTTP status at the REST edge. */
  get status(): number {
    return errorCatalogue[this.code].status;
  }

  /** Whether the same request may succeed later. */
  get retryable(): boolean {
    return errorCatalogue[this.code].retryable;
  }
}

/** Narrows text from a wire to a code of the catalogue. */
export function isErrorCode(text: string): text is ErrorCode {
  return Object.hasOwn(errorCatalogue, text);
}

/** The errno code of a failed system call (`ENOENT`, `EADDRINUSE`), or undefined for any other error. */
export function errnoOf(error: unknown): string | undefined {
  if (!(error instanceof Error) || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
