import { X509Certificate } from "node:crypto";
import { once } from "node:events";
import { isIP } from "node:net";
import { connect, type DetailedPeerCertificate, type TLSSocket } from "node:tls";
import { WrennError } from "@wrenn/contracts";
import { ControlPlaneUnreachable } from "./control-plane-unreachable.ts";
import { hostOf, portOf } from "./control-plane-url.ts";
import { fingerprintOf } from "./credentials.ts";

const handshakeMs = 5_000;

/**
 * Fetches the platform's CA certificate from the chain that the control plane shows, and accepts it by its
 * fingerprint alone. Nothing is sent on this connection, so it needs no trust; the calls that follow verify the
 * control plane against what this answers.
 *
 * @param fingerprint SHA-256 of the DER, 64 hex digits.
 * @returns the CA certificate, PEM.
 * @throws {ControlPlaneUnreachable} when there is no handshake.
 * @throws {WrennError} `identity_mismatch` when the chain holds no such certificate.
 */
export async function fetchPinnedCa(url: string, fingerprint: string, signal: AbortSignal): Promise<string> {
  const host = hostOf(url);
  const socket = connect({
    host,
    port: portOf(url),
    ...(isIP(host) === 0 ? { servername: host } : {}),
    rejectUnauthorized: false,
  });
  try {
    const deadline = AbortSignal.any([signal, AbortSignal.timeout(handshakeMs)]);
    await once(socket, "secureConnect", { signal: deadline }).catch((cause: unknown) => {
      signal.throwIfAborted();
      throw new ControlPlaneUnreachable(url, cause);
    });
    for (const certificate of chainOf(socket)) {
      if (fingerprintOf(certificate) === fingerprint) return certificate.toString();
    }
  } finally {
    socket.on("error", () => {});
    socket.destroy();
  }
  throw new WrennError(
    "identity_mismatch",
    `${url} shows another certificate authority than the registration token names; check WRENN_CP_URL, for it is not the control plane that made the token`,
  );
}

function* chainOf(socket: TLSSocket): Iterable<X509Certificate> {
  const seen = new Set<string>();
  let link: DetailedPeerCertificate | undefined = socket.getPeerCertificate(true);
  // A root names itself as its issuer.
  while (link?.raw && !seen.has(link.fingerprint256)) {
    seen.add(link.fingerprint256);
    yield new X509Certificate(link.raw);
    link = link.issuerCertificate;
  }
}
