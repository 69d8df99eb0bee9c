import { Readable } from "node:stream";
import type { FileEntry as HostFileEntry } from "@wrenn/contracts/host";
import type { FileEntry, ListFilesBody } from "@wrenn/contracts/rest";
import { messageChunks } from "@wrenn/daemon";
import type { UsedCapsule } from "../capsules/use.ts";
import type { Upload } from "./upload.ts";

/**
 * Opens a file of a capsule. Resolves when its first bytes are there, so that what is wrong with it is known
 * before an answer begins; read as it is consumed.
 */
export async function readFile(capsule: UsedCapsule, path: string, signal: AbortSignal): Promise<Readable> {
  const request = { capsuleId: capsule.id, path };
  const stream = await capsule.host.agent.open((client) => client.readFile(request, { signal }));
  if (!stream) return Readable.from([]);
  const { first, rest } = stream;
  async function* chunks(): AsyncGenerator<Uint8Array> {
    yield first.chunk;
    for await (const { chunk } of rest) {
      capsule.touch();
      yield chunk;
    }
  }
  return Readable.from(nonEmpty(chunks()), { objectMode: false });
}

/** Writes an upload to a file of a capsule, as fast as the capsule takes it and no faster. */
export async function writeFile(capsule: UsedCapsule, upload: Upload, signal: AbortSignal): Promise<void> {
  const { path, content } = upload;
  async function* parts() {
    yield { part: { case: "target" as const, value: { capsuleId: capsule.id, path } } };
    for await (const chunk of content as AsyncIterable<Buffer>) {
      capsule.touch();
      for (const value of messageChunks(chunk)) yield { part: { case: "chunk" as const, value } };
    }
  }
  try {
    await capsule.host.agent.call((client) => client.writeFile(parts(), { signal }));
  } finally {
    content.destroy(); // unread when the host has refused
  }
}

export async function listFiles(capsule: UsedCapsule, body: ListFilesBody): Promise<FileEntry[]> {
  const request = { capsuleId: capsule.id, path: body.path, depth: body.depth };
  const { entries } = await capsule.host.agent.call((client) => client.listDirectory(request));
  return entries.map(toWire);
}

const fileTypes = ["file", "directory", "symlink"] as const;

function toWire(entry: HostFileEntry): FileEntry {
  return {
    name: entry.name,
    path: entry.path,
    type: fileTypes.find((type) => type === entry.type) ?? "unknown",
    size: Number(entry.size),
    mode: entry.mode,
    permissions: entry.permissions,
    owner: entry.owner,
    group: entry.group,
    modified_at: Number(entry.modifiedAt?.seconds ?? 0n),
    ...(entry.symlinkTarget !== undefined && { symlink_target: entry.symlinkTarget }),
  };
}

/** An empty chunk would read as the end of a byte stream. */
async function* nonEmpty(chunks: AsyncIterable<Uint8Array>): AsyncGenerator<Uint8Array> {
  for await (const chunk of chunks) if (chunk.length > 0) yield chunk;
}
