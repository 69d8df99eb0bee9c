import { WrennError } from "@wrenn/contracts";
import type { Logger } from "@wrenn/daemon";
import type { Layout } from "../layout.ts";
import type { HostIdentity } from "./identity.ts";
import { readIdentity, writeIdentity } from "./identity-store.ts";
import { type RegisterOptions, registerHost } from "./register.ts";
import { parseRegistrationToken, type RegistrationToken, tokenDigest } from "./token.ts";

/** How this start gets its identity: one that is there, or a token to register with. */
export type Registration =
  | { readonly identity: HostIdentity; readonly token?: undefined }
  | { readonly identity: HostIdentity | undefined; readonly token: RegistrationToken };

/**
 * Finds out, before anything else is done, whether this host is or can be registered. A token that it has registered
 * with already is a start with the flags of the last one, as a supervisor makes it, and no second registration.
 *
 * @throws {WrennError} `config_invalid` when it is neither.
 */
export async function readRegistration(layout: Layout, tokenText: string | undefined): Promise<Registration> {
  const token = tokenText === undefined ? undefined : parseRegistrationToken(tokenText);
  // Whatever is left of an older registration, a new one replaces it.
  const identity = await readIdentity(layout).catch((error: unknown) => {
    if (token && error instanceof WrennError) return undefined;
    throw error;
  });
  if (identity && (!token || identity.registeredWith === tokenDigest(token))) return { identity };
  if (token) return { identity, token };
  throw new WrennError(
    "config_invalid",
    "this host is not registered; make a token with POST /v1/hosts, and start with --register TOKEN or WRENN_REGISTRATION_TOKEN",
  );
}

/** The identity of a registration, which is made and stored if that is still to be done. */
export async function ensureRegistered(
  registration: Registration,
  layout: Layout,
  options: Omit<RegisterOptions, "token">,
): Promise<HostIdentity> {
  const { identity, token } = registration;
  if (!token) return identity;
  const made = await registerHost({ ...options, token });
  await writeIdentity(layout, made);
  note(options.logger, made, identity);
  return made;
}

function note(logger: Logger, made: HostIdentity, previous: HostIdentity | undefined): void {
  const { hostId, address } = made;
  const replaced = previous && previous.hostId !== hostId ? { previousHost: previous.hostId } : {};
  logger.info({ host: hostId, address, ...replaced }, "registered");
}
