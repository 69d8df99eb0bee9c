import { createHash } from "node:crypto";
import { mkdir } from "node:fs/promises";
import { join } from "node:path";

/** Where things lie below `$WRENN_DIR`. */
export interface Layout {
  readonly root: string;
  readonly kernels: string;
  readonly images: string;
  /** Boot snapshots, one immutable directory each. */
  readonly snapshots: string;
  /** Disk layers, each at its final path from birth. */
  readonly layers: string;
  /** Snapshots that are put away; may be elsewhere, and shared by hosts. */
  readonly archive: string;
  /** Empty but while a machine opens a file in it; on the file system of the layers. */
  readonly handover: string;
  /** Run directories of machines: sockets and logs, gone with the machine. */
  readonly machines: string;
  /** What the agent is doing to each capsule. */
  readonly journal: string;
  /** What a registration leaves: the token that this host shows the control plane, and its siblings. */
  readonly hostToken: string;
  readonly host: string;
  readonly hostKey: string;
  readonly hostCertificate: string;
  readonly caCertificate: string;
  /** How often this agent has started. */
  readonly epoch: string;
}

/** Tells what this agent makes on its machine, outside its directory, from what other agents make. */
export function instanceOf(root: string): string {
  return createHash("sha256").update(root).digest("hex").slice(0, 8);
}

/** @param archive where snapshots are put away; below `root` when absent. */
export function layoutOf(root: string, archive = join(root, "archive")): Layout {
  return {
    root,
    kernels: join(root, "kernels"),
    images: join(root, "images"),
    snapshots: join(root, "snapshots"),
    layers: join(root, "layers"),
    archive,
    handover: join(root, "handover"),
    machines: join(root, "machines"),
    journal: join(root, "journal"),
    hostToken: join(root, "host-token"),
    host: join(root, "host.json"),
    hostKey: join(root, "host-key.pem"),
    hostCertificate: join(root, "host-certificate.pem"),
    caCertificate: join(root, "ca-certificate.pem"),
    epoch: join(root, "agent-epoch"),
  };
}

/** Makes the directories that the agent writes to; only root and the agent look into them. */
export async function makeDirectories(layout: Layout): Promise<void> {
  await mkdir(layout.root, { recursive: true, mode: 0o755 });
  for (const dir of [layout.snapshots, layout.layers, layout.machines, layout.journal]) {
    await mkdir(dir, { recursive: true, mode: 0o700 });
  }
}
