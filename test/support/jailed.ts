import { execFile } from "node:child_process";
import { readdir, readFile, readlink } from "node:fs/promises";

/** How a program that ran where a machine runs ended. */
export interface Attempt {
  readonly code: number;
  readonly stdout: string;
  readonly stderr: string;
}

/**
 * Runs a shell line where a live machine runs: in its namespaces, below its root, as its user, without any capability.
 * What it may, a monitor that is taken over may, but for what seccomp denies that besides.
 */
export async function asMachine(pid: number, line: string): Promise<Attempt> {
  const { Uid: uid } = await statusOf(pid);
  const args = [
    ...["--target", `${pid}`, "--net", "--ipc", "--mount", "--"],
    ...["setpriv", `--reuid=${uid}`, `--regid=${uid}`, "--clear-groups", "--inh-caps=-all"],
    ...["--bounding-set=-all", "--no-new-privs", "--", "/bin/sh", "-c", line],
  ];
  return await new Promise((resolve) => {
    execFile("nsenter", args, (error, stdout, stderr) => {
      resolve({ code: error ? Number(error.code) : 0, stdout, stderr });
    });
  });
}

/** First value of each line of `/proc/PID/status`. */
export async function statusOf(pid: number): Promise<Record<string, string>> {
  const lines = (await readFile(`/proc/${pid}/status`, "utf8")).split("\n");
  return Object.fromEntries(
    lines.map((line) => [line.split(":")[0], (line.split(/:\s+/)[1] ?? "").split("\t")[0]]),
  );
}

/** What a process has open: `r`, `w` or `rw` and the path, or the kind of what has none. */
export async function openFilesOf(pid: number): Promise<Set<string>> {
  const found = new Set<string>();
  for (const fd of await readdir(`/proc/${pid}/fd`)) {
    const path = await readlink(`/proc/${pid}/fd/${fd}`);
    const info = await readFile(`/proc/${pid}/fdinfo/${fd}`, "utf8");
    const flags = Number.parseInt(/^flags:\s+(\d+)/m.exec(info)?.[1] ?? "", 8);
    // The two lowest bits: https://man7.org/linux/man-pages/man2/open.2.html
    const access = ["r", "w", "rw"][flags & 3];
    found.add(path.startsWith("/") ? `${access} ${path}` : path.replace(/:.*/, ""));
  }
  return found;
}
