import { mkdir, readdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { WrennError } from "@wrenn/contracts";
import { exists } from "./durable-files.ts";
import { runCommand } from "./run-command.ts";

/** A package manager state of its own, so that the host's package lists are neither needed nor changed. */
export interface AptState {
  /** The newest version's fields of a package, by lower-case name. */
  show(name: string): Promise<Map<string, string>>;
  /** Downloads packages, verified against Debian's keys, and unpacks all of them into `target`. */
  unpack(names: readonly string[], target: string): Promise<void>;
}

/** Fetches the package lists of `sources` (sources.list lines) into `folder`, which must not exist. */
export async function openApt(sources: string, folder: string, signal?: AbortSignal): Promise<AptState> {
  await requireKeyrings(sources);
  await mkdir(join(folder, "lists/partial"), { recursive: true });
  await mkdir(join(folder, "cache/archives/partial"), { recursive: true });
  await writeFile(join(folder, "status"), "");
  await writeFile(join(folder, "sources.list"), sources);
  const settings = [
    `Dir::State=${folder}`,
    `Dir::State::lists=${join(folder, "lists")}`,
    `Dir::State::status=${join(folder, "status")}`,
    `Dir::Cache=${join(folder, "cache")}`,
    `Dir::Etc::sourcelist=${join(folder, "sources.list")}`,
    "Dir::Etc::sourceparts=-",
    // apt's own user cannot enter a folder below a private directory.
    "APT::Sandbox::User=root",
    "APT::Architecture=amd64",
    "APT::Architectures=amd64",
    "Acquire::Languages=none",
    // Without it a list that cannot be fetched is only a warning, and the failure shows later as something else.
    "APT::Update::Error-Mode=any",
  ].flatMap((setting) => ["-o", setting]);

  try {
    await runCommand("apt-get", [...settings, "-qq", "update"], { signal });
  } catch (error) {
    signal?.throwIfAborted();
    throw new WrennError(
      "image_missing",
      `Debian's package lists cannot be fetched from ${firstUri(sources)}; check the network or the mirror in /etc/apt.`,
      { cause: error },
    );
  }

  return {
    async show(name) {
      const text = await runCommand("apt-cache", [...settings, "show", "--no-all-versions", name], {
        signal,
      });
      return new Map(
        [...text.matchAll(/^([\w-]+): (.*)$/gm)].map(([, key = "", value = ""]) => [
          key.toLowerCase(),
          value,
        ]),
      );
    },
    async unpack(names, target) {
      const archives = join(folder, "debs");
      await mkdir(archives);
      await runCommand("apt-get", [...settings, "-qq", "download", ...names], { signal, cwd: archives });
      await mkdir(target);
      for (const archive of (await readdir(archives)).sort()) {
        await runCommand("dpkg-deb", ["--extract", join(archives, archive), target], { signal });
      }
    },
  };
}

/** Without its keyring apt refuses the archive in words that hide the reason. */
async function requireKeyrings(sources: string): Promise<void> {
  for (const [, keyring = ""] of sources.matchAll(/signed-by=([^\s\]]+)/g)) {
    if (await exists(keyring)) continue;
    throw new WrennError(
      "image_missing",
      `The keyring ${keyring} of Debian's archive is missing; install the Debian package debian-archive-keyring.`,
    );
  }
}

function firstUri(sources: string): string {
  return /\s([a-z+]+:\S+)/.exec(sources)?.[1] ?? "the configured mirror";
}
