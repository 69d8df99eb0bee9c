import swagger from "@fastify/swagger";
import scalar from "@scalar/fastify-api-reference";
import { wrennVersion } from "@wrenn/daemon";
import type { Api } from "../api.ts";

/** Nothing is loaded from anywhere else, whatever the page's script would like. */
const contentSecurityPolicy = [
  "default-src 'self'",
  "script-src 'self' 'unsafe-inline'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data:",
  "font-src 'self' data:",
  "worker-src 'self' blob:",
  "frame-ancestors 'none'",
].join("; ");

/** Describes every route that is registered after it. */
export async function registerOpenApi(api: Api): Promise<void> {
  await api.register(swagger, {
    openapi: {
      openapi: "3.1.0",
      info: {
        title: "Wrenn",
        version: wrennVersion,
        description: "A computer of its own for every agent, user or job.",
        license: { name: "Apache-2.0", identifier: "Apache-2.0" },
      },
      servers: [{ url: "/" }],
      tags: [
        { name: "capsules", description: "MicroVMs" },
        { name: "snapshots", description: "What capsules can be created from" },
        { name: "exec", description: "Commands in capsules" },
        { name: "files", description: "Files of capsules" },
        { name: "hosts", description: "Machines that run capsules" },
        { name: "meta", description: "This control plane" },
      ],
      components: {
        securitySchemes: {
          apiKey: { type: "apiKey", in: "header", name: "X-API-Key" },
          bearer: { type: "http", scheme: "bearer", description: "The same key." },
          hostToken: { type: "apiKey", in: "header", name: "X-Host-Token", description: "For host agents." },
        },
      },
      security: [{ apiKey: [] }, { bearer: [] }],
    },
    refResolver: { buildLocalReference: (schema, _base, _fragment, index) => String(schema.$id ?? index) },
  });
}

/** `/openapi.json` for programs, `/docs` for people. */
export async function documentationRoutes(api: Api): Promise<void> {
  api.get("/openapi.json", { schema: { hide: true } }, async () => api.swagger());
  await api.register(scalar, {
    routePrefix: "/docs",
    configuration: {
      url: "/openapi.json",
      withDefaultFonts: false,
      telemetry: false,
      hideClientButton: true,
    },
    hooks: {
      onRequest: (_request, reply, done) => {
        reply.header("content-security-policy", contentSecurityPolicy);
        done();
      },
    },
  });
}
