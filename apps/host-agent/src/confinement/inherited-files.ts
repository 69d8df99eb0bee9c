import { type FileHandle, open } from "node:fs/promises";

/** Standard input, output and error come first in every process. */
const standard = 3;

/**
 * Files that a process gets as open descriptors, since it may open nothing by path. Each is opened by the agent with
 * the access that the process shall have, and its number inside the process follows from its place in the list.
 * Dispose of it once the process is started: the process has descriptors of its own.
 */
export class InheritedFiles implements AsyncDisposable {
  readonly #first: number;
  readonly #stack = new AsyncDisposableStack();
  readonly #files: FileHandle[] = [];

  /** @param reserved descriptors between standard error and the first of these files. */
  constructor(reserved: number) {
    this.#first = standard + reserved;
  }

  /** What goes into `stdio` after the standard and the reserved ones. */
  get stdio(): number[] {
    return this.#files.map(({ fd }) => fd);
  }

  /** @returns the number that the file has inside the process. */
  async open(path: string, flags: string, mode?: number): Promise<number> {
    return this.add(await open(path, flags, mode));
  }

  /** Takes over an open file. @returns the number that it has inside the process. */
  add(file: FileHandle): number {
    this.#stack.use(file);
    return this.#first + this.#files.push(file) - 1;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}
