import { randomBytes } from "node:crypto";
import { createServer as createPlain, type IncomingMessage, type Server } from "node:http";
import { createServer as createSecure } from "node:https";
import type { AddressInfo } from "node:net";
import { json } from "node:stream/consumers";
import { newId } from "@wrenn/contracts";
import type { HostReportAnswer, HostReportBody } from "@wrenn/contracts/rest";
import { Authority, type Names } from "./authority.ts";

export interface Request {
  readonly path: string;
  readonly headers: IncomingMessage["headers"];
  // biome-ignore lint/suspicious/noExplicitAny: tests look into what was sent
  readonly body: any;
}

export type Answer = { readonly status?: number; readonly body: unknown };

/** A control plane's host routes, which do whatever a test says: for answers that ours cannot be made to give. */
export interface ForeignControlPlane extends AsyncDisposable {
  readonly url: string;
  readonly authority: Authority;
  readonly requests: Request[];
  /** Replaces what is answered by default. */
  answer: ((request: Request) => Promise<Answer | undefined> | Answer | undefined) | undefined;
  /** A registration token of it. */
  token(hostId?: string, fingerprint?: string): string;
}

/** @param options.names serves https with a certificate for these names; absent: plain http. */
export async function startForeignControlPlane(
  options: { names?: Names; certificateMs?: number } = {},
): Promise<ForeignControlPlane> {
  const authority = await Authority.make();
  const { server, scheme } = await makeServer(authority, options.names);
  const plane = {
    authority,
    requests: [] as Request[],
    answer: undefined as ForeignControlPlane["answer"],
    token: (hostId = newId("host"), fingerprint = authority.fingerprint) =>
      `wrr_${hostId}.${randomBytes(32).toString("base64url")}.${fingerprint}`,
  };
  server.on("request", async (incoming, response) => {
    const body = await json(incoming).catch(() => undefined);
    const request = { path: incoming.url ?? "", headers: incoming.headers, body };
    plane.requests.push(request);
    const answered =
      (await plane.answer?.(request)) ?? (await ordinary(request, authority, options.certificateMs));
    response.writeHead(answered.status ?? 200, { "content-type": "application/json" });
    response.end(JSON.stringify(answered.body));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as AddressInfo;
  return Object.assign(plane, {
    url: `${scheme}://127.0.0.1:${port}`,
    async [Symbol.asyncDispose]() {
      const closed = new Promise((resolve) => server.close(resolve));
      server.closeAllConnections();
      await closed;
    },
  });
}

async function makeServer(
  authority: Authority,
  names: Names | undefined,
): Promise<{ server: Server; scheme: string }> {
  if (!names) return { server: createPlain(), scheme: "http" };
  const { certificatePem, keyPem } = await authority.issue(names);
  const cert = `${certificatePem}\n${authority.certificatePem}`;
  const tls = {
    cert,
    key: keyPem,
    ca: authority.certificatePem,
    requestCert: true,
    rejectUnauthorized: false,
  };
  return { server: createSecure(tls) as Server, scheme: "https" };
}

async function ordinary(request: Request, authority: Authority, lifetimeMs?: number): Promise<Answer> {
  if (request.path === "/v1/hosts/register") {
    const hostId = /^wrr_([^.]+)/.exec(request.body.token)?.[1] ?? "";
    return { body: await credentials(authority, hostId, request.body.csr_pem, lifetimeMs) };
  }
  if (request.path.endsWith("/certificate")) {
    const hostId = request.path.split("/")[3] ?? "";
    const { certificate_pem, ca_certificate_pem } = await credentials(
      authority,
      hostId,
      request.body.csr_pem,
    );
    return { body: { certificate_pem, ca_certificate_pem } };
  }
  return { body: acknowledged(request.body) };
}

/** What a registration answers. */
export async function credentials(authority: Authority, hostId: string, csrPem: string, lifetimeMs?: number) {
  const now = new Date().toISOString();
  return {
    host: { id: hostId, type: "regular", status: "pending", created_at: now, updated_at: now },
    token: `wrh_${randomBytes(32).toString("hex")}`,
    certificate_pem: await authority.sign(csrPem, hostId, lifetimeMs),
    ca_certificate_pem: authority.certificatePem,
  };
}

export function acknowledged({ revision }: HostReportBody): HostReportAnswer {
  return { acknowledged: revision, full_wanted: false };
}

/** An error as the API tells it. */
export function refusal(status: number, code: string, message: string): Answer {
  return { status, body: { error: { code, message } } };
}
