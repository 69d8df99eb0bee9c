import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Answer, Calls, Fault, Seen } from "./calls.ts";

/** How a command went: done, refused with a code, or cut off because the agent ended. */
export type Outcome =
  | { readonly kind: "done" | "crashed" }
  | { readonly kind: "refused"; readonly code: string; readonly message: string };

/** A process that is ready to be an agent. */
interface Spare {
  readonly process: ChildProcess;
  readonly ready: Promise<unknown>;
}

/**
 * The agent of one directory, as a process that can be killed. The next life is started ahead, since that takes longer
 * than most commands.
 */
export class AgentUnderTest implements AsyncDisposable {
  readonly #envdBinary: string;
  #spare: Spare = startProcess();
  #process: ChildProcess | undefined;
  #dir = "";
  #recovering: Promise<void> | undefined;
  #epoch = 0;
  #calls = 0;

  constructor(envdBinary: string) {
    this.#envdBinary = envdBinary;
  }

  /** Serves a directory. */
  async open(dir: string): Promise<void> {
    this.#dir = dir;
    this.#epoch = 0;
    await this.#start();
  }

  /** Lets go of the directory; what runs in it runs on. */
  async close(): Promise<void> {
    await this.#require("close", undefined);
  }

  /**
   * Kills the agent, which has no say in it, and starts another.
   *
   * @param meanwhile happens while there is none.
   */
  async restart(meanwhile: () => void = () => {}): Promise<void> {
    const process = this.#process;
    if (process?.exitCode === null && process.signalCode === null) {
      process.kill("SIGKILL");
      await once(process, "exit");
    }
    this.#process = undefined;
    meanwhile();
    await this.#start();
  }

  async see(): Promise<Seen[]> {
    return await this.#require("see", undefined);
  }

  /** Ids of the snapshots that it offers. */
  async snapshots(): Promise<string[]> {
    return await this.#require("snapshots", undefined);
  }

  /** Gives a command. After one that crashed the agent has been started again. */
  async command<N extends Exclude<keyof Calls, "open" | "close" | "see" | "snapshots">>(
    name: N,
    argument: Parameters<Calls[N]>[0],
    fault?: Fault,
  ): Promise<Outcome> {
    const answer = await this.#call(name, argument, fault);
    if (answer === undefined) {
      // Commands that came at once were all cut off by the same end.
      this.#recovering ??= this.restart().finally(() => {
        this.#recovering = undefined;
      });
      await this.#recovering;
      return { kind: "crashed" };
    }
    const { error } = answer;
    if (!error) return { kind: "done" };
    // A failure that nobody named is a defect, whatever was asked.
    if (error.code === "unexpected" || error.code === "internal_error") throw new Error(error.message);
    return { kind: "refused", ...error };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of [this.#process, this.#spare.process]) {
      if (process?.exitCode !== null || process.signalCode !== null) continue;
      process.kill("SIGKILL");
      await once(process, "exit");
    }
  }

  async #start(): Promise<void> {
    if (!this.#process) {
      await this.#spare.ready;
      this.#process = this.#spare.process;
      this.#spare = startProcess();
    }
    this.#epoch += 1;
    await this.#require("open", { dir: this.#dir, envdBinary: this.#envdBinary, epoch: this.#epoch });
  }

  async #require<N extends keyof Calls>(
    name: N,
    argument: Parameters<Calls[N]>[0],
  ): Promise<Awaited<ReturnType<Calls[N]>>> {
    const answer = await this.#call(name, argument);
    if (!answer) throw new Error(`the agent ended during ${name}`);
    if (answer.error) throw new Error(`${name}: ${answer.error.code}: ${answer.error.message}`);
    return answer.value as Awaited<ReturnType<Calls[N]>>;
  }

  /** @returns undefined when the agent ended before it answered. */
  async #call(name: keyof Calls, argument: unknown, fault?: Fault): Promise<Answer | undefined> {
    const process = this.#process;
    if (!process) throw new Error("no directory is open");
    const id = this.#calls++;
    const { promise, resolve } = Promise.withResolvers<Answer | undefined>();
    const onMessage = (message: Answer) => {
      if (message.id === id) resolve(message);
    };
    const onExit = () => resolve(undefined);
    process.on("message", onMessage);
    process.once("exit", onExit);
    try {
      process.send({ id, name, argument, fault }, () => {});
      return await promise;
    } finally {
      process.off("message", onMessage);
      process.off("exit", onExit);
    }
  }
}

function startProcess(): Spare {
  const child = fork(join(import.meta.dirname, "agent-process.ts"), [], {
    env: { ...process.env, NODE_COMPILE_CACHE: join(tmpdir(), "node-compile-cache") },
    execArgv: [],
    serialization: "advanced",
  });
  const gone = once(child, "exit").then(([code]) => {
    throw new Error(`an agent ended with ${code} before it was ready`);
  });
  const ready = Promise.race([once(child, "message"), gone]);
  // Whoever needs it waits for it again.
  ready.catch(() => {});
  return { process: child, ready };
}
