import {
  HostCertificate,
  HostCredentials,
  HostParams,
  HostReportAnswer,
  HostReportBody,
  RegisterHostBody,
  RenewCertificateBody,
} from "@wrenn/contracts/rest";
import type { Kysely } from "kysely";
import { type Api, errorResponses } from "../api.ts";
import type { Authority } from "../authority/authority.ts";
import type { Schema } from "../database/schema.ts";
import type { ReportService } from "../reports/service.ts";
import { makeAgentAuth } from "./agent-auth.ts";
import { registerHost, renewCertificate } from "./register.ts";

const tags = ["hosts"];

/** A full report of as many capsules as one may hold. */
const maxReportBytes = 16 * 1024 * 1024;

export interface AgentRouteParts {
  kysely: Kysely<Schema>;
  authority: Authority;
  reports: ReportService;
}

/** For agents: they come with a registration token, and later with what they got for it. */
export function agentRoutes(api: Api, { kysely, authority, reports }: AgentRouteParts): void {
  const onRequest = makeAgentAuth(kysely);
  const security = [{ hostToken: [] }];
  api.decorateRequest("agentHost");

  api.post(
    "/v1/hosts/register",
    {
      schema: {
        operationId: "registerHost",
        tags,
        summary: "Register an agent",
        description: "The token in the body is the proof; it is used up.",
        security: [],
        body: RegisterHostBody,
        response: { 201: HostCredentials, ...errorResponses(400, 403, 409) },
      },
    },
    async ({ body, log }, reply) => reply.code(201).send(await registerHost(kysely, authority, body, log)),
  );

  api.post(
    "/v1/hosts/:id/report",
    {
      onRequest,
      bodyLimit: maxReportBytes,
      schema: {
        operationId: "reportHost",
        tags,
        summary: "Report what a host holds",
        description: "At once on a change, and every 30 seconds.",
        security,
        params: HostParams,
        body: HostReportBody,
        response: { 200: HostReportAnswer, ...errorResponses(400, 403, 409, 413) },
      },
    },
    async ({ agentHost, body, log }) => reports.take(agentHost, body, log),
  );

  api.post(
    "/v1/hosts/:id/certificate",
    {
      onRequest,
      schema: {
        operationId: "renewHostCertificate",
        tags,
        summary: "Renew a host's certificate",
        security,
        params: HostParams,
        body: RenewCertificateBody,
        response: { 200: HostCertificate, ...errorResponses(400, 403) },
      },
    },
    async ({ agentHost, body }) => renewCertificate(authority, agentHost.id, body.csr_pem),
  );
}
