import { WrennError } from "@wrenn/contracts";

interface Operation {
  /** Whoever asks for the same gets the same answer. */
  readonly name: string;
  readonly outcome: Promise<unknown>;
  readonly abort: AbortController;
}

/** What is done to one capsule: one operation at a time, in the order in which they were asked for. */
export class Operations {
  /** The newest, which may have ended. */
  #newest: Operation | undefined;
  readonly #unfinished = new Set<Operation>();
  #ending: Operation | undefined;
  readonly #background = new Set<{ readonly done: Promise<void>; readonly abort: AbortController }>();

  /** Whether something is being done. */
  get busy(): boolean {
    return this.#unfinished.size > 0;
  }

  /** Whether the capsule is being destroyed. */
  get isEnding(): boolean {
    return this.#ending !== undefined;
  }

  /**
   * Does the work when what was asked for before is over. Asked again for what was asked for last, answers with the
   * outcome of that.
   *
   * @param name of what is asked for, its generation included.
   * @param work its signal is aborted when the capsule is destroyed meanwhile.
   * @throws {WrennError} `conflict` when the capsule is being destroyed.
   */
  async run<T>(name: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    if (this.#newest?.name === name) return (await this.#newest.outcome) as T;
    if (this.#ending) throw destroyed();
    return await this.#begin(name, work);
  }

  /** The last one: it gives up what is under way, and nothing comes after it. Asked again, it answers with its outcome. */
  async end(work: () => Promise<void>): Promise<void> {
    if (!this.#ending) {
      for (const { abort } of this.#unfinished) abort.abort(destroyed());
      // A name that no command has.
      const ending = this.#begin("", work);
      this.#ending = this.#newest;
      // One that failed may be tried again.
      ending.catch(() => {
        this.#ending = undefined;
      });
    }
    await this.#ending?.outcome;
  }

  /** Does work that nobody waits for, until an operation is asked for. It handles its errors. */
  runInBackground(work: (signal: AbortSignal) => Promise<void>): void {
    const abort = new AbortController();
    const done = this.#settled().then(async () => {
      if (!abort.signal.aborted) await work(abort.signal);
      this.#background.delete(task);
    });
    const task = { done, abort };
    this.#background.add(task);
  }

  /** Waits until nothing is being done. */
  async idle(): Promise<void> {
    this.#giveWay();
    for (const { done } of this.#background) await done;
    while (this.busy) await Promise.allSettled([...this.#unfinished].map(({ outcome }) => outcome));
  }

  #begin<T>(name: string, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const abort = new AbortController();
    this.#giveWay();
    const outcome = this.#settled().then(async () => {
      abort.signal.throwIfAborted();
      return await work(abort.signal);
    });
    const operation = { name, outcome, abort };
    this.#newest = operation;
    this.#unfinished.add(operation);
    const finished = () => void this.#unfinished.delete(operation);
    outcome.then(finished, finished);
    return outcome;
  }

  /** When what was asked for until now is over. */
  async #settled(): Promise<void> {
    const [newest, background] = [this.#newest, [...this.#background]];
    await newest?.outcome.catch(() => {});
    for (const { done } of background) await done;
  }

  #giveWay(): void {
    for (const { abort } of this.#background) abort.abort();
  }
}

function destroyed(): WrennError {
  return new WrennError("conflict", "the capsule was destroyed meanwhile");
}
