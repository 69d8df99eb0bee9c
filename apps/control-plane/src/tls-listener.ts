import { createServer, type Server, type ServerOptions } from "node:https";
import type { AddressInfo } from "node:net";
import { hostname, networkInterfaces } from "node:os";
import { errnoOf } from "@wrenn/contracts";
import { type ListenAddress, listenError } from "@wrenn/daemon";
import type { Api } from "./api.ts";
import type { Authority } from "./authority/authority.ts";

/** The API over TLS, with a certificate of the platform's authority. */
export interface TlsListener {
  server: Server;
  address: ListenAddress;
  /** Shows the authority's newest certificate from now on. */
  renew(): void;
}

/**
 * Serves the API over TLS as well. A client may show a certificate: a host's is checked where its token is.
 *
 * @throws {WrennError} `port_in_use`, with what to do.
 */
export async function listenTls(
  api: Api,
  address: ListenAddress,
  authority: Authority,
): Promise<TlsListener> {
  const server = createServer(optionsOf(authority), (request, response) => api.routing(request, response));
  server.requestTimeout = 0; // an upload takes what it takes
  const listening = await listenOn(server, address);
  return { server, address: listening, renew: () => server.setSecureContext(optionsOf(authority)) };
}

/** Names and addresses at which this machine can be asked for at an address that is listened on. */
export function namesServed(address: ListenAddress | undefined): string[] {
  if (!address) return [];
  const everywhere = address.host === "" || address.host === "0.0.0.0" || address.host === "::";
  if (!everywhere) return [address.host];
  const addresses = Object.values(networkInterfaces())
    .flatMap((all) => all ?? [])
    .filter(({ scopeid }) => !scopeid) // a link-local address means nothing in a certificate
    .map((each) => each.address);
  return ["localhost", hostname(), ...addresses];
}

function optionsOf({ own }: Authority): ServerOptions {
  return { ...own, requestCert: true, rejectUnauthorized: false };
}

async function listenOn(server: Server, address: ListenAddress): Promise<ListenAddress> {
  const { promise, resolve, reject } = Promise.withResolvers<void>();
  server.once("error", reject);
  server.listen({ host: address.host || "::", port: address.port }, resolve);
  try {
    await promise;
  } catch (error) {
    // Without IPv6, every address means every IPv4 address.
    if (address.host !== "" || errnoOf(error) !== "EAFNOSUPPORT") {
      throw listenError(address, "WRENN_CP_TLS_LISTEN_ADDR", error);
    }
    return listenOn(server, { host: "0.0.0.0", port: address.port });
  } finally {
    server.off("error", reject);
  }
  return { host: address.host, port: (server.address() as AddressInfo).port };
}
