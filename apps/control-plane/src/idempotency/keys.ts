import { setTimeout as sleep } from "node:timers/promises";
import { WrennError } from "@wrenn/contracts";
import type { Logger } from "@wrenn/daemon";
import { repeat } from "../repeat.ts";
import { type Answer, OwnedKey, requestInProgress } from "./owned-key.ts";
import type { IdempotencyStore, KeyName } from "./store.ts";

/** How long a request waits for the same one that is under way here. */
const waitMs = 30_000;

/** A request that carries a key. */
export interface KeyedRequest extends KeyName {
  /** SHA-256 of method, URL and body. */
  hash: Buffer;
}

interface UnderWay {
  hash: Buffer;
  /** Undefined: there is none, and the next one has to see to it. */
  answer: Promise<Answer | undefined>;
}

/** Requests with an `Idempotency-Key`: each is done once, and its answer given to all that are the same. */
export class IdempotencyKeys {
  readonly #store: IdempotencyStore;
  readonly #underWay = new Map<string, UnderWay>();

  constructor(store: IdempotencyStore) {
    this.#store = store;
  }

  /**
   * Begins a request, or finds its answer.
   *
   * @param signal ends the wait for the same request.
   * @throws {WrennError} `idempotency_key_reused`, or `request_in_progress` when the same one takes too long, or is
   *   another control plane's.
   */
  async begin(request: KeyedRequest, signal: AbortSignal): Promise<OwnedKey | Answer> {
    const name = `${request.teamId} ${request.key}`;
    const deadline = performance.now() + waitMs;
    for (let other = this.#underWay.get(name); other; other = this.#underWay.get(name)) {
      if (!other.hash.equals(request.hash)) throw keyReused();
      const answer = await within(other.answer, deadline - performance.now(), signal);
      if (answer) return answer;
    }
    return this.#claim(name, request);
  }

  /** Forgets what is old. */
  async forgetOld(): Promise<void> {
    await this.#store.forgetOld();
  }

  /** There is nobody else here: nothing was awaited since that was seen. */
  async #claim(name: string, request: KeyedRequest): Promise<OwnedKey | Answer> {
    const { promise: answer, resolve } = Promise.withResolvers<Answer | undefined>();
    this.#underWay.set(name, { hash: request.hash, answer });
    const answered = (given: Answer | undefined): void => {
      this.#underWay.delete(name);
      resolve(given);
    };
    try {
      const claim = await this.#store.claim(request, request.hash);
      if (claim.outcome === "ours") return new OwnedKey(request, claim.before, this.#store, answered);
      answered(undefined);
      if (claim.outcome === "answered") return { status: claim.status, body: claim.body };
      throw claim.outcome === "another request" ? keyReused() : requestInProgress();
    } catch (error) {
      answered(undefined);
      throw error;
    }
  }
}

const forgetEveryMs = 3600_000;

/** Forgets keys, again and again, when they are old. */
export function forgetOldKeys(keys: IdempotencyKeys, logger: Logger): AsyncDisposable {
  const onFailure = (err: unknown): void =>
    logger.warn({ err }, "old idempotency keys could not be forgotten");
  return repeat(forgetEveryMs, () => keys.forgetOld(), onFailure);
}

async function within(
  answer: Promise<Answer | undefined>,
  ms: number,
  signal: AbortSignal,
): Promise<Answer | undefined> {
  const timer = new AbortController();
  const late = sleep(Math.max(ms, 0), "late" as const, { signal: AbortSignal.any([timer.signal, signal]) });
  try {
    const given = await Promise.race([answer, late.catch(() => "late" as const)]);
    if (given === "late") throw requestInProgress();
    return given;
  } finally {
    timer.abort();
  }
}

function keyReused(): WrennError {
  const sentence = "this Idempotency-Key was used for another request; use a new one for each";
  return new WrennError("idempotency_key_reused", sentence, { field: "Idempotency-Key" });
}
