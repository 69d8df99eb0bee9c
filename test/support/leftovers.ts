import { access, readdir, readFile, readlink } from "node:fs/promises";
import { join } from "node:path";

/** Everything of a platform that could be left behind, as text; empty when nothing is. */
export async function leftoversOf(wrennDir: string): Promise<string[]> {
  const found = [...(await processesIn(wrennDir)), ...(await slotsOf(wrennDir))];
  for (const dir of ["machines", "layers"]) {
    const names = await readdir(join(wrennDir, dir)).catch(() => []);
    found.push(...names.map((name) => `${dir}/${name}`));
  }
  return found;
}

/** Processes that work in the directory, write a log there, or name it in their arguments. */
export async function processesIn(dir: string): Promise<string[]> {
  const found: string[] = [];
  for (const pid of (await readdir("/proc")).filter(
    (name) => /^\d+$/.test(name) && Number(name) !== process.pid,
  )) {
    const links = ["cwd", "fd/1"].map((name) => readlink(`/proc/${pid}/${name}`).catch(() => ""));
    const paths = await Promise.all(links);
    const commandLine = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
    if (paths.some((path) => path.startsWith(dir)) || commandLine.includes(`${dir}/`)) {
      found.push(`process ${pid} ${commandLine.replaceAll("\0", " ").slice(0, 120)}`);
    }
  }
  return found;
}

/** Network slots registered for the directory, and what exists of them. */
export async function slotsOf(wrennDir: string): Promise<string[]> {
  const found: string[] = [];
  const register = "/run/wrenn/slots";
  for (const index of await readdir(register).catch(() => [])) {
    const owner = await readFile(join(register, index), "utf8").catch(() => "");
    if (owner !== wrennDir) continue;
    found.push(`slot ${index}`);
    for (const path of [`/run/netns/wrenn-${index}`, `/sys/class/net/wrenn${index}`]) {
      if (
        await access(path).then(
          () => true,
          () => false,
        )
      )
        found.push(path);
    }
  }
  return found;
}
