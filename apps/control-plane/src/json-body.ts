import type { Api } from "./api.ts";

/** Clients send nothing for "all defaults", and null for a field they do not set. Both are an absent field. */
export function acceptAbsentFields(api: Api): void {
  const parse = api.getDefaultJsonParser("error", "error");
  api.removeContentTypeParser("application/json");
  api.addContentTypeParser("application/json", { parseAs: "string" }, (request, body, done) => {
    if (body.length === 0) done(null, undefined);
    else void parse(request, String(body), done);
  });
  api.addHook("preValidation", async (request) => {
    const { body } = request;
    if (body === undefined || body === null) {
      if (request.routeOptions.schema?.body) request.body = {};
    } else if (typeof body === "object" && !Array.isArray(body)) {
      request.body = Object.fromEntries(Object.entries(body).filter(([, value]) => value !== null));
    }
  });
}
