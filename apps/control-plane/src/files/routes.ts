import type { TypeBoxTypeProvider } from "@fastify/type-provider-typebox";
import { WrennError } from "@wrenn/contracts";
import { CapsuleParams, FileList, ListFilesBody, ReadFileBody } from "@wrenn/contracts/rest";
import { Type } from "typebox";
import { type Api, errorResponses, noContent } from "../api.ts";
import type { CapsuleService } from "../capsules/service.ts";
import { clientGone } from "../client-gone.ts";
import { refuseNul } from "../validation.ts";
import { discardRest } from "./discard-rest.ts";
import { listFiles, readFile, writeFile } from "./service.ts";
import { receiveUpload } from "./upload.ts";

const tags = ["files"];
const WriteFileQuery = Type.Object({
  path: Type.Optional(Type.String({ minLength: 1, description: "Instead of the part `path`." })),
});
const fileBytes = Type.Unsafe<unknown>({
  description: "The file.",
  content: { "application/octet-stream": { schema: { type: "string", format: "binary" } } },
});

export function fileRoutes(api: Api, capsules: CapsuleService): void {
  api.post(
    "/v1/capsules/:id/files/read",
    {
      schema: {
        operationId: "readFile",
        tags,
        summary: "Read a file",
        params: CapsuleParams,
        body: ReadFileBody,
        response: { 200: fileBytes, ...errorResponses(400, 403, 404, 409, 502) },
      },
    },
    async ({ body, caller, params, log: logger }, reply) => {
      refuseNul("path", body.path);
      const gone = clientGone(reply);
      const use = { teamId: caller.teamId, id: params.id, kind: "read_file", logger, signal: gone } as const;
      const content = await capsules.use(use, (capsule) => readFile(capsule, body.path, gone));
      return reply.type("application/octet-stream").send(content);
    },
  );

  api.post(
    "/v1/capsules/:id/files/list",
    {
      schema: {
        operationId: "listFiles",
        tags,
        summary: "List a directory",
        params: CapsuleParams,
        body: ListFilesBody,
        response: { 200: FileList, ...errorResponses(400, 403, 404, 409, 502) },
      },
    },
    async ({ body, caller, params, log: logger }) => {
      refuseNul("path", body.path);
      const use = { teamId: caller.teamId, id: params.id, kind: "list_files", logger } as const;
      const entries = await capsules.use(use, (capsule) => listFiles(capsule, body));
      return { entries };
    },
  );

  void api.register((scope, _options, done) => {
    uploadRoute(scope.withTypeProvider<TypeBoxTypeProvider>(), capsules);
    done();
  });
}

/** In a scope of its own, where a multipart body is left to the handler, which streams it. */
function uploadRoute(api: Api, capsules: CapsuleService): void {
  api.removeAllContentTypeParsers();
  api.addContentTypeParser("multipart/form-data", async () => undefined);
  api.post(
    "/v1/capsules/:id/files/write",
    {
      schema: {
        operationId: "writeFile",
        tags,
        summary: "Write a file",
        description: "multipart/form-data with the parts `path` and then `file`. Of any size.",
        consumes: ["multipart/form-data"],
        params: CapsuleParams,
        querystring: WriteFileQuery,
        response: { 204: noContent, ...errorResponses(400, 403, 404, 409, 415, 502) },
      },
    },
    async ({ caller, params, query, raw, headers, log: logger }, reply) => {
      if (headers["content-type"] === undefined) {
        throw new WrennError("unsupported_media_type", "send the file as multipart/form-data");
      }
      const gone = clientGone(reply);
      const use = { teamId: caller.teamId, id: params.id, kind: "write_file", logger, signal: gone } as const;
      try {
        await capsules.use(use, async (capsule) => {
          const upload = await receiveUpload(raw, query.path);
          refuseNul("path", upload.path);
          await writeFile(capsule, upload, gone);
        });
      } catch (error) {
        if (!(await discardRest(raw))) reply.header("connection", "close");
        throw error;
      }
      return reply.code(204).send(null);
    },
  );
}
