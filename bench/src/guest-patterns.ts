import type { Api } from "@wrenn/test/support/api";

/** A file in the memory of a guest, and one on its disk. */
const memoryFile = "/dev/shm/pattern";
const diskFile = "/root/pattern";

const diskMib = 4;

/** Digests of what a guest has in memory and on its disk. */
export type Digests = readonly string[];

/** Has a guest write as much of its memory, and none of it twice the same. */
export async function dirtyMemory(api: Api, id: string, mib: number): Promise<void> {
  await run(api, id, `head -c ${mib}M /dev/urandom > ${memoryFile}`);
}

/** The same, and a little on the disk. @returns what it wrote. */
export async function writePatterns(api: Api, id: string, mib: number): Promise<Digests> {
  const inMemory = await run(api, id, `head -c ${mib}M /dev/urandom | tee ${memoryFile} | sha256sum`);
  const onDisk = `head -c ${diskMib}M /dev/urandom | tee ${diskFile} | sha256sum; sync ${diskFile}`;
  return [inMemory, await run(api, id, onDisk)];
}

/** What is there now; the disk is read past the guest's cache, which is memory. */
export async function readPatterns(api: Api, id: string): Promise<Digests> {
  const fromDisk = `dd if=${diskFile} bs=64K iflag=direct status=none | sha256sum`;
  return [await run(api, id, `sha256sum < ${memoryFile}`), await run(api, id, fromDisk)];
}

async function run(api: Api, id: string, line: string): Promise<string> {
  const { exit_code, stdout, stderr } = await api.shell(id, line, { timeout_sec: 120 });
  if (exit_code !== 0) throw new Error(`${line} failed: ${stderr}`);
  return stdout;
}
