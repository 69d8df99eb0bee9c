import { getuid } from "node:process";

export interface Command {
  readonly program: string;
  readonly args: readonly string[];
}

/**
 * The command as it has to be run here. PostgreSQL refuses user id 0: as root it gets a user namespace in which it
 * is user 1, while to the kernel it stays who we are, so it can use directories that only we can enter. Both
 * helpers execute in place: the child's process id is PostgreSQL's.
 *
 * @param parentDeathSignal what the program gets when this process dies without stopping it (prctl(2)).
 */
export function confine(command: Command, parentDeathSignal: "INT" | "KILL"): Command {
  const args = [`--pdeathsig=${parentDeathSignal}`, "--", command.program, ...command.args];
  if (getuid?.() !== 0) return { program: "setpriv", args };
  return { program: "unshare", args: ["--user", "--map-user=1", "--map-group=1", "--", "setpriv", ...args] };
}
