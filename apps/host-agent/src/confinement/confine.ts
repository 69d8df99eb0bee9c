import type { Jail } from "./jail.ts";

/** A program by its name or path, and its arguments. */
export interface Command {
  readonly file: string;
  readonly args: readonly string[];
}

/** Bounds of one process. See https://man7.org/linux/man-pages/man2/getrlimit.2.html */
export interface ResourceLimits {
  /** Largest file that it can make or extend, in bytes; a write beyond ends it. */
  readonly fileBytes: number;
  /** Threads of its user. */
  readonly threads: number;
  readonly openFiles: number;
}

export interface Confinement {
  readonly uid: number;
  /** Network namespace to run in. */
  readonly namespacePath: string;
  /** What it sees of the file system and of other processes. */
  readonly jail: Pick<Jail, "mountNamespace" | "ipcNamespace">;
  readonly limits: ResourceLimits;
  /** Directory of a cgroup v2 to run in; absent where the host has none. */
  readonly cgroup?: string | undefined;
}

/**
 * The command that runs a program inside every wall there is: namespaces, a root with nothing in it, limits, a user
 * of its own, no capability and no way to get one. Each step replaces the one before it (exec), so the process that
 * is started is the program in the end, with the same pid. Files reach it as descriptors alone.
 */
export function confine(
  program: Command,
  { uid, namespacePath, jail, limits, cgroup }: Confinement,
): Command {
  const { mountNamespace, ipcNamespace } = jail;
  const [first = "", ...rest] = [
    ...(cgroup === undefined ? [] : enterCgroup(cgroup)),
    ...["nsenter", `--net=${namespacePath}`, `--ipc=${ipcNamespace}`, `--mount=${mountNamespace}`, "--"],
    // Limits first: only who has capabilities may raise one, and here they may have to be.
    ...["prlimit", ...limitOptions(limits), "--"],
    ...["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups"],
    ...["--inh-caps=-all", "--bounding-set=-all", "--no-new-privs", "--"],
    program.file,
  ];
  return { file: first, args: [...rest, ...program.args] };
}

/**
 * Environment of what is confined, and of the steps on the way: they are looked up in the jail, where directories of
 * the operator's own may not exist.
 */
export function confinedEnvironment(): NodeJS.ProcessEnv {
  return { PATH: `${process.env.PATH}:/usr/local/bin:/usr/bin:/usr/sbin:/bin:/sbin` };
}

/** A step that moves itself to a cgroup (0 is the writer, the file's name the script's `$0`) and becomes the next. */
export function enterCgroup(dir: string): string[] {
  return ["/bin/sh", "-ec", 'echo 0 > "$0"; exec "$@"', `${dir}/cgroup.procs`];
}

function limitOptions({ fileBytes, threads, openFiles }: ResourceLimits): string[] {
  return [
    // A dump of a machine would hold its guest's memory.
    "--core=0",
    `--fsize=${fileBytes}`,
    `--nproc=${threads}`,
    `--nofile=${openFiles}`,
    "--memlock=0",
    "--msgqueue=0",
    "--rtprio=0",
  ];
}
