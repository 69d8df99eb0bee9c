/**
 * When something was killed. From then until some time after it serves again, requests may fail; outside of that each
 * has to succeed.
 */
export class Disturbances {
  /**
   * Within this time connections are made anew, hosts report, and what a control plane left half done is settled by
   * the next one, once it takes that for dead.
   */
  static readonly graceMs = 45_000;

  #active = 0;
  #quietSince = Number.NEGATIVE_INFINITY;

  /** Begins one; the answer ends it. */
  begin(): () => void {
    this.#active += 1;
    return () => {
      this.#active -= 1;
      this.#quietSince = performance.now();
    };
  }

  /** Whether anything that began then and ends now may have been disturbed. */
  since(begun: number): boolean {
    return this.#active > 0 || begun < this.#quietSince + Disturbances.graceMs;
  }

  /** Everything has been seen to be settled: nothing is left of what has ended. */
  over(): void {
    this.#quietSince = Number.NEGATIVE_INFINITY;
  }
}
