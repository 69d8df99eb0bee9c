/** Tells a person what takes long, and how long it took. Goes to stderr: stdout is for the result. */
export class Progress {
  readonly #write: (text: string) => void;

  constructor(write: (text: string) => void = (text) => process.stderr.write(text)) {
    this.#write = write;
  }

  /** Runs one step between its two lines. */
  async step<T>(name: string, run: () => Promise<T>): Promise<T> {
    const started = performance.now();
    this.started(name);
    const value = await run();
    this.done(name, performance.now() - started);
    return value;
  }

  started(name: string): void {
    this.#write(`… ${name}\n`);
  }

  done(name: string, elapsedMs: number): void {
    const time = elapsedMs < 1000 ? `${Math.round(elapsedMs)} ms` : `${(elapsedMs / 1000).toFixed(1)} s`;
    this.#write(`✓ ${name} (${time})\n`);
  }

  note(text: string): void {
    this.#write(`${text}\n`);
  }
}
