import { readFile } from "node:fs/promises";
import { WrennError } from "@wrenn/contracts";

/** The token that opens the agent on this machine, from the file that the agent makes. */
export class HostToken {
  readonly path: string;
  #text: string | undefined;

  constructor(path: string) {
    this.path = path;
  }

  /** @throws {WrennError} `host_unavailable` while there is no such file: the agent has not started yet. */
  async read(): Promise<string> {
    this.#text ??= (await readFile(this.path, "utf8").catch(noToken)).trim();
    return this.#text;
  }

  /** Makes the next call read the file again: the agent has another token. */
  forget(): void {
    this.#text = undefined;
  }
}

function noToken(cause: unknown): never {
  const sentence = "the host agent has made no token yet; start it with the same WRENN_DIR";
  throw new WrennError("host_unavailable", sentence, { cause });
}
