import { WrennError } from "@wrenn/contracts";
import type { Parse } from "./config.ts";

/** Where a server listens. An empty host means every address, port 0 one of the kernel's choice. */
export interface ListenAddress {
  host: string;
  port: number;
}

/** Parses `:8000`, `127.0.0.1:8000` and `[::1]:8000`. */
export const listenAddress: Parse<ListenAddress> = (value) => {
  const match = /^(?:\[([0-9a-fA-F:]+)\]|([^:[\]]*)):(\d{1,5})$/.exec(value);
  const port = Number(match?.[3]);
  if (!match || port > 65535) throw new Error("must look like :8000 or 127.0.0.1:8000");
  return { host: match[1] ?? match[2] ?? "", port };
};

/** Whether only this machine can reach the address. */
export function isLoopback(host: string): boolean {
  return host === "localhost" || host === "::1" || host.startsWith("127.");
}

/** The address as a client on this machine dials it. */
export function dialUrl(address: ListenAddress): string {
  const host =
    address.host === "" || address.host === "0.0.0.0" || address.host === "::" ? "127.0.0.1" : address.host;
  return `http://${host.includes(":") ? `[${host}]` : host}:${address.port}`;
}

/** What to tell an operator whose address cannot be listened on. */
export function listenError(address: ListenAddress, variable: string, cause: unknown): WrennError {
  const place = `${address.host || "*"}:${address.port}`;
  const reason =
    cause instanceof Error && "code" in cause && cause.code === "EADDRINUSE"
      ? `${place} is in use by another process; stop it or set ${variable} to another address`
      : `cannot listen on ${place}; set ${variable} to an address of this machine`;
  return new WrennError("port_in_use", reason, { cause });
}
