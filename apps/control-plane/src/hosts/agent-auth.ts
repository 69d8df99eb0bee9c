import { TLSSocket } from "node:tls";
import { WrennError } from "@wrenn/contracts";
import type { FastifyRequest } from "fastify";
import type { Kysely } from "kysely";
import { hostIdOf } from "../authority/names.ts";
import type { Schema } from "../database/schema.ts";
import { findHostByToken, type KnownHost } from "./store.ts";
import { tokenHash } from "./tokens.ts";

declare module "fastify" {
  interface FastifyRequest {
    /** The host whose agent asks. */
    agentHost: KnownHost;
  }
}

/** Makes the hook that sets `request.agentHost`: by its token and, where it shows one, its certificate. */
export function makeAgentAuth(db: Kysely<Schema>) {
  return async (request: FastifyRequest): Promise<void> => {
    const { id } = request.params as { id: string };
    const host = await hostOfToken(db, request.headers["x-host-token"]);
    if (!host) {
      const sentence = `X-Host-Token is not one of host ${JSON.stringify(id)}; register again with a new token: POST /v1/hosts/{id}/token`;
      throw new WrennError("unauthorized", sentence);
    }
    if (host.id !== id) {
      throw new WrennError("identity_mismatch", `X-Host-Token is of host ${host.id}, the path names another`);
    }
    checkCertificate(request.raw.socket, host.id);
    request.agentHost = host;
  };
}

async function hostOfToken(db: Kysely<Schema>, header: unknown): Promise<KnownHost | undefined> {
  if (typeof header !== "string" || !/^wrh_[0-9a-f]{64}$/.test(header)) return undefined;
  return findHostByToken(db, tokenHash(header));
}

/** A client need not show a certificate (a proxy may end TLS before us), but one that it shows has to be its own. */
function checkCertificate(socket: unknown, hostId: string): void {
  if (!(socket instanceof TLSSocket)) return;
  const certificate = socket.getPeerX509Certificate();
  if (!certificate) return;
  if (!socket.authorized) {
    const sentence =
      "the client certificate is not a valid one of this platform; register again with a new token";
    throw new WrennError("identity_mismatch", sentence);
  }
  const theirs = hostIdOf(certificate.subjectAltName);
  if (theirs === hostId) return;
  const whose = theirs === undefined ? "no host" : `host ${theirs}`;
  throw new WrennError(
    "identity_mismatch",
    `the client certificate is of ${whose}, the token of host ${hostId}`,
  );
}
