/** What every step of a build gets. */
export interface BuildContext {
  /** Absolute path of $WRENN_DIR. */
  wrennDir: string;
  /** A directory on the same file system for everything unfinished; it is gone after the build. */
  work: string;
  signal?: AbortSignal | undefined;
  progress: Progress;
}

export type StepState = "start" | "done" | "cached";
export type OnProgress = (step: string, state: StepState, elapsedMs: number) => void;

/** Reports the steps of a build with the time each took. */
export class Progress {
  readonly #onProgress: OnProgress;

  constructor(onProgress: OnProgress) {
    this.#onProgress = onProgress;
  }

  async step<T>(name: string, run: () => Promise<T>): Promise<T> {
    const startedAt = performance.now();
    this.#onProgress(name, "start", 0);
    const result = await run();
    this.#onProgress(name, "done", Math.round(performance.now() - startedAt));
    return result;
  }

  cached(name: string): void {
    this.#onProgress(name, "cached", 0);
  }
}
