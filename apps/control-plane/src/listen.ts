import type { AddressInfo } from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { errnoOf } from "@wrenn/contracts";
import { type ListenAddress, listenError } from "@wrenn/daemon";
import type { Api } from "./api.ts";
import type { TlsListener } from "./tls-listener.ts";

/** How long requests under way may take to finish when the server ends. */
const finishMs = 8_000;

/** Answers where the server listens now. @throws {WrennError} `port_in_use`, with what to do. */
export async function listen(api: Api, address: ListenAddress): Promise<ListenAddress> {
  try {
    await api.listen({
      host: address.host || "::",
      port: address.port,
      listenTextResolver: (url) => `serving on ${url}`,
    });
  } catch (error) {
    // Without IPv6, every address means every IPv4 address.
    if (address.host !== "" || errnoOf(error) !== "EAFNOSUPPORT") {
      throw listenError(address, "WRENN_CP_LISTEN_ADDR", error);
    }
    return listen(api, { host: "0.0.0.0", port: address.port });
  }
  return { host: address.host, port: (api.server.address() as AddressInfo).port };
}

/** Takes no new request, lets those under way finish, and cuts those that do not. */
export async function closeServer(api: Api, tls?: TlsListener): Promise<void> {
  const timer = new AbortController();
  const cut = sleep(finishMs, undefined, { signal: timer.signal }).then(
    () => {
      api.server.closeAllConnections();
      tls?.server.closeAllConnections();
    },
    () => {},
  );
  const tlsClosed = tls && new Promise((resolve) => tls.server.close(resolve));
  await Promise.all([api.close(), tlsClosed]);
  timer.abort();
  await cut;
}
