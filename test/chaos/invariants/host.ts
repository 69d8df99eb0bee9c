import { execFile } from "node:child_process";
import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import type { Deployment } from "../../support/deployment.ts";
import { processesIn, slotsOf } from "../../support/leftovers.ts";
import { machinePid } from "../../support/machines.ts";
import type { Model } from "../model.ts";

const run = promisify(execFile);

/** What is on the host and belongs to no capsule and no snapshot, as sentences. */
export async function strayOnHost({ wrennDir }: Deployment, model: Model): Promise<string[]> {
  const live = new Set(model.live().map(({ id }) => id));
  const running = model.live().filter((capsule) => capsule.surely("running"));
  const strays: string[] = [];
  for (const name of await namesIn(wrennDir, "journal")) {
    if (!live.has(name.replace(/\.journal$/, ""))) strays.push(`journal/${name} is of no capsule`);
  }
  for (const name of await namesIn(wrennDir, "machines")) {
    if (!running.some(({ id }) => id === name)) strays.push(`machines/${name} is of no capsule that runs`);
  }
  strays.push(...(await strayFiles(wrennDir)));
  const machines = await processesIn(join(wrennDir, "machines"));
  for (const { id } of running) {
    if ((await machinePid(wrennDir, id)) === undefined)
      strays.push(`${id} is said to run, and has no machine`);
  }
  if (machines.length > running.length) {
    strays.push(`${running.length} capsules run, with these machines: ${machines.join("; ")}`);
  }
  return [...strays, ...(await strayNetwork())];
}

/** Snapshots and layers that no capsule's journal and no manifest names. */
async function strayFiles(wrennDir: string): Promise<string[]> {
  const journals = await textsOf(wrennDir, "journal", (name) => name);
  const snapshots = await namesIn(wrennDir, "snapshots");
  const manifests = await textsOf(wrennDir, "snapshots", (name) => join(name, "manifest.json"));
  const named = `${journals}${manifests}`;
  const layers = await namesIn(wrennDir, "layers");
  return [
    ...snapshots.filter((name) => name.includes(".partial")).map((name) => `snapshots/${name} is half made`),
    ...layers.filter((name) => !named.includes(name)).map((name) => `layers/${name} is named by nothing`),
  ];
}

async function textsOf(wrennDir: string, dir: string, file: (name: string) => string): Promise<string> {
  const names = await namesIn(wrennDir, dir);
  const texts = names.map((name) => readFile(join(wrennDir, dir, file(name)), "utf8").catch(() => ""));
  return (await Promise.all(texts)).join("\n");
}

async function namesIn(wrennDir: string, dir: string): Promise<string[]> {
  return (await readdir(join(wrennDir, dir)).catch(() => [])).sort();
}

/** Namespaces, links and elements of firewall sets that are of no registered slot, whoever's. */
async function strayNetwork(): Promise<string[]> {
  const registered = new Set(await readdir("/run/wrenn/slots").catch(() => []));
  const unregistered = (names: readonly string[], what: string): string[] =>
    names
      .filter((name) => /^wrenn-?\d+$/.test(name) && !registered.has(name.replace(/^wrenn-?/, "")))
      .map((name) => `the ${what} ${name} is of no slot`);
  const { stdout } = await run("nft", ["list", "ruleset"]);
  const elements = [...stdout.matchAll(/"(wrenn\d+)"/g)].map(([, name = ""]) => name);
  return [
    ...unregistered(await readdir("/run/netns").catch(() => []), "namespace"),
    ...unregistered(await readdir("/sys/class/net"), "link"),
    ...unregistered(elements, "firewall element"),
  ];
}

/** Slots of a deployment, as their numbers. */
export async function slotCount({ wrennDir }: Deployment): Promise<number> {
  return (await slotsOf(wrennDir)).filter((name) => name.startsWith("slot ")).length;
}
