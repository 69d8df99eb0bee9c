import type { CapsuleSize } from "@wrenn/contracts";
import type { Command } from "./confine.ts";
import type { Confiner, HandedOver, Place } from "./confiner.ts";

/**
 * What an agent that is not root can do: its machines run as its own user and see what it sees. They cannot gain
 * privileges, and QEMU's filter of system calls holds as everywhere.
 */
export class OwnUser implements Confiner {
  readonly missing = [
    "the agent is not root: machines run as its user and can open its files, other capsules' among them",
    "the agent is not root: capsules reach this host's network as any program of its user does",
  ] as const;

  async confine(program: Command, _place: Place, _size: CapsuleSize, fileBytes: number): Promise<Command> {
    const limits = ["--core=0", `--fsize=${fileBytes}`, "--nofile=256", "--memlock=0", "--"];
    return {
      file: "prlimit",
      args: [...limits, "setpriv", "--no-new-privs", "--", program.file, ...program.args],
    };
  }

  /** They see what the agent sees. */
  async handOver(path: string): Promise<HandedOver> {
    return { path, [Symbol.asyncDispose]: async () => {} };
  }

  async release(): Promise<void> {}

  async [Symbol.asyncDispose](): Promise<void> {}
}
