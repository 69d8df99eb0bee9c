import { WrennError } from "@wrenn/contracts";
import type { HostCertificate, HostCredentials, RegisterHostBody } from "@wrenn/contracts/rest";
import type { Kysely } from "kysely";
import type { Authority } from "../authority/authority.ts";
import type { Schema } from "../database/schema.ts";
import type { Log } from "../log.ts";
import { parseHostAddress } from "./address.ts";
import { clockProblem } from "./clock.ts";
import { checkRegistrationToken, noteRegistration, useRegistrationToken } from "./store.ts";
import { newHostToken, readRegistrationToken, tokenHash } from "./tokens.ts";
import { toWire } from "./wire.ts";

/**
 * Makes an agent the host that its token is for. Whatever is wrong with the rest is refused before the token is used
 * up, so that it can be mended and tried again.
 */
export async function registerHost(
  db: Kysely<Schema>,
  authority: Authority,
  body: RegisterHostBody,
  logger: Log,
): Promise<HostCredentials> {
  const hostId = readRegistrationToken(body.token, authority.fingerprint);
  const registration = tokenHash(body.token);
  await checkRegistrationToken(db, hostId, registration); // nothing is done for who has none
  const skew = clockProblem(body.sent_at);
  if (skew) throw new WrennError("clock_skew", skew, { field: "sent_at" });
  parseHostAddress(body.address);
  const certificate = await authority.issueForHost(hostId, body.csr_pem);
  const token = newHostToken();
  const host = await db.transaction().execute(async (transaction) => {
    await useRegistrationToken(transaction, hostId, registration);
    return noteRegistration(transaction, hostId, body, tokenHash(token));
  });
  if (!host)
    throw new WrennError("unauthorized", `host ${hostId} was removed; create another: POST /v1/hosts`);
  logger.info({ host: hostId, address: body.address }, "a host has registered");
  return {
    host: toWire(host),
    token,
    certificate_pem: certificate,
    ca_certificate_pem: authority.certificatePem,
  };
}

/** Issues another certificate to a host that has proven to be it. */
export async function renewCertificate(
  authority: Authority,
  hostId: string,
  csrPem: string,
): Promise<HostCertificate> {
  return {
    certificate_pem: await authority.issueForHost(hostId, csrPem),
    ca_certificate_pem: authority.certificatePem,
  };
}
