import { randomBytes } from "node:crypto";
import { mkdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { type CapsuleSize, newId } from "@wrenn/contracts";
import { syncDirectory, writeFileAtomic } from "@wrenn/daemon";
import type { DiskLayer, Vmm } from "../vmm/vmm.ts";
import { type BootOptions, bootMachine, type GuestVersions } from "./boot-machine.ts";
import { type BootManifest, formatVersion } from "./boot-manifest.ts";
import type { Kernel } from "./kernel.ts";
import type { TemplateImage } from "./template-store.ts";

/** Names of the parts in a snapshot's directory, beside its manifest. */
export const parts = {
  memory: "memory",
  deviceState: "device-state",
  bootToken: "boot-token",
} as const;

/** What is booted. */
export interface BootSubject {
  readonly image: TemplateImage;
  readonly kernel: Kernel;
  readonly size: CapsuleSize;
}

/** Boots a template, exercises the guest once, and commits the snapshot to `dir` by a rename. */
export async function makeBootSnapshot(
  dir: string,
  subject: BootSubject,
  options: BootOptions,
): Promise<void> {
  const { layout, vmm } = options;
  const { image, kernel, size } = subject;
  await using stack = new AsyncDisposableStack();
  const partial = `${dir}.partial-${newId("disk")}`;
  await mkdir(partial, { mode: 0o700 });
  stack.defer(() => rm(partial, { recursive: true, force: true }));
  const diskPath = join(layout.layers, `${newId("disk")}.qcow2`);
  const disk = stack.use(new AsyncDisposableStack());
  disk.defer(() => rm(diskPath, { force: true }));

  const token = randomBytes(32).toString("hex");
  const below: DiskLayer[] = [{ path: image.rootfsPath, format: "raw" }];
  const failure = { code: "image_corrupt", what: "the template" } as const;
  const boot = { kernel, size, diskLayers: below, diskPath, dir: partial, token, failure };
  const versions = await bootMachine(boot, options);
  await writeFileAtomic(join(partial, parts.bootToken), token);
  const diskLayers: DiskLayer[] = [...below, { path: diskPath, format: "qcow2" }];
  const manifest = manifestOf(subject, diskLayers, vmm, versions);
  await writeFileAtomic(join(partial, "manifest.json"), `${JSON.stringify(manifest, undefined, 2)}\n`);
  await syncDirectory(layout.layers);
  await rename(partial, dir);
  await syncDirectory(layout.snapshots);
  disk.move();
}

function manifestOf(
  { image, kernel, size }: BootSubject,
  diskLayers: readonly DiskLayer[],
  vmm: Vmm,
  versions: GuestVersions,
): BootManifest {
  return {
    formatVersion,
    createdAt: new Date().toISOString(),
    template: image.template,
    imageVersion: image.version,
    kernel: kernel.name,
    vmm: vmm.name,
    vmmVersion: vmm.version,
    ...size,
    ...versions,
    diskLayers,
  };
}
