import type { IncomingMessage } from "node:http";
import type { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { Busboy } from "@fastify/busboy";
import { WrennError } from "@wrenn/contracts";

/** An upload whose file has begun. */
export interface Upload {
  path: string;
  /** Ends with an error when the body ends early. Has to be read or destroyed. */
  content: Readable;
}

const maxPathBytes = 16 * 1024;
const maxFields = 16;

/**
 * Reads a multipart body up to the begin of its file. The file is not read ahead of whoever reads `content`.
 *
 * @param pathInQuery path given in the URL; then the body needs none.
 * @throws {WrennError} `invalid_request`, naming the part that is missing or late.
 */
export async function receiveUpload(body: IncomingMessage, pathInQuery?: string): Promise<Upload> {
  const parser = openParser(body);
  const { promise, resolve, reject } = Promise.withResolvers<Upload>();
  let path = pathInQuery;
  parser.on("field", (name, value, _nameTruncated, valueTruncated) => {
    if (name !== "path") return;
    if (valueTruncated) reject(invalid("path", `path is longer than ${maxPathBytes} bytes`));
    else path = value;
  });
  parser.on("file", (name, content) => {
    // The parser emits the error of a body that ends early, whether or not anybody still reads: it ends the content.
    content.on("error", (error) => content.destroy(error));
    if (name !== "file") return void content.resume();
    if (path !== undefined && path !== "") return resolve({ path, content });
    content.resume();
    reject(invalid("path", "the part path has to come before the part file"));
  });
  pipeline(body, parser).then(
    () =>
      reject(
        path ? invalid("file", "the part file is missing") : invalid("path", "the part path is missing"),
      ),
    (cause: unknown) => reject(invalid(undefined, "the multipart body is malformed or was cut off", cause)),
  );
  return promise;
}

function openParser(body: IncomingMessage): Busboy {
  const contentType = body.headers["content-type"] ?? "";
  try {
    return new Busboy({
      headers: { ...body.headers, "content-type": contentType },
      limits: { fieldSize: maxPathBytes, fields: maxFields },
      // Some clients send the file without a file name: its field name says what it is.
      isPartAFile: (name, type, fileName) =>
        name === "file" || fileName !== undefined || type === "application/octet-stream",
    });
  } catch (cause) {
    throw invalid(undefined, "the Content-Type has no multipart boundary", cause);
  }
}

function invalid(field: string | undefined, message: string, cause?: unknown): WrennError {
  return new WrennError("invalid_request", message, { field, cause });
}
