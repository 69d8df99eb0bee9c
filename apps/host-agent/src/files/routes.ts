import { Readable } from "node:stream";
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { HandlerContext, ServiceImpl } from "@connectrpc/connect";
import { WrennError } from "@wrenn/contracts";
import { type EntryInfo, FileType } from "@wrenn/contracts/filesystem";
import type {
  FileEntrySchema,
  HostService,
  ReadFileRequest,
  ReadFileResponseSchema,
  WriteFileRequest,
  WriteFileRequest_Target,
} from "@wrenn/contracts/host";
import { messageChunks } from "@wrenn/daemon";
import type { CapsuleService } from "../capsules/service.ts";
import { asUser } from "../guest/guest-agent.ts";
import { fromGuestError } from "../guest/guest-error.ts";

type Routes = Pick<ServiceImpl<typeof HostService>, "readFile" | "writeFile" | "listDirectory">;

/** Files of capsules, relayed between control plane and guest as streams; no file is ever whole in memory. */
export function fileRoutes(capsules: CapsuleService): Routes {
  return {
    readFile: (request, context) => readFile(capsules, request, context),
    writeFile: (parts, context) => writeFile(capsules, parts, context),
    async listDirectory(request, context) {
      using use = capsules.get(request.capsuleId).use();
      const options = { headers: asUser(request.user), signal: context.signal };
      try {
        const { entries } = await use.guest.filesystem.listDir(
          { path: request.path, depth: request.depth },
          options,
        );
        return { entries: entries.map(toFileEntry) };
      } catch (error) {
        throw fromGuestError(error);
      }
    },
  };
}

async function* readFile(
  capsules: CapsuleService,
  request: ReadFileRequest,
  context: HandlerContext,
): AsyncIterable<MessageInitShape<typeof ReadFileResponseSchema>> {
  using use = capsules.get(request.capsuleId).use();
  const { body } = await use.guest.request({
    method: "GET",
    path: filesPath(request.path),
    headers: asUser(request.user),
    signal: context.signal,
  });
  for await (const bytes of body as AsyncIterable<Buffer>) {
    for (const chunk of messageChunks(bytes)) yield { chunk };
  }
}

async function writeFile(
  capsules: CapsuleService,
  parts: AsyncIterable<WriteFileRequest>,
  context: HandlerContext,
): Promise<{ path: string }> {
  const iterator = parts[Symbol.asyncIterator]();
  const first = await iterator.next();
  const target = first.done ? undefined : targetOf(first.value);
  if (!target) throw new WrennError("invalid_request", "the first message names no file", { field: "path" });
  using use = capsules.get(target.capsuleId).use();
  const { body } = await use.guest.request({
    method: "POST",
    path: filesPath(target.path),
    headers: { ...asUser(target.user), "content-type": "application/octet-stream" },
    body: Readable.from(chunksOf(iterator)),
    signal: context.signal,
  });
  const written: unknown = await body.json();
  return { path: pathOf(written) ?? target.path };
}

function targetOf(message: WriteFileRequest): WriteFileRequest_Target | undefined {
  return message.part.case === "target" ? message.part.value : undefined;
}

async function* chunksOf(parts: AsyncIterator<WriteFileRequest>): AsyncIterable<Uint8Array> {
  for (let next = await parts.next(); !next.done; next = await parts.next()) {
    const { part } = next.value;
    if (part.case === "chunk" && part.value.length > 0) yield part.value;
  }
}

function filesPath(path: string): string {
  return `/files?path=${encodeURIComponent(path)}`;
}

/** Path that the guest agent reports for the one file written. */
function pathOf(written: unknown): string | undefined {
  const entry: unknown = Array.isArray(written) ? written[0] : undefined;
  if (typeof entry !== "object" || entry === null || !("path" in entry)) return undefined;
  return typeof entry.path === "string" ? entry.path : undefined;
}

const typeNames: Partial<Record<FileType, string>> = {
  [FileType.FILE]: "file",
  [FileType.DIRECTORY]: "directory",
  [FileType.SYMLINK]: "symlink",
};

function toFileEntry(entry: EntryInfo): MessageInitShape<typeof FileEntrySchema> {
  const { name, path, size, mode, permissions, owner, group, modifiedTime, symlinkTarget } = entry;
  return {
    name,
    path,
    type: typeNames[entry.type] ?? "unknown",
    size: size < 0n ? 0n : size,
    mode,
    permissions,
    owner,
    group,
    ...(modifiedTime ? { modifiedAt: modifiedTime } : {}),
    ...(symlinkTarget === undefined ? {} : { symlinkTarget }),
  };
}
