/** Who this host is, and what proves it. */
export interface HostIdentity {
  readonly hostId: string;
  /** Opens the control plane's host routes; a secret. */
  readonly token: string;
  /** PKCS #8; a secret. */
  readonly keyPem: string;
  readonly certificatePem: string;
  /** The one authority that this host trusts. */
  readonly caCertificatePem: string;
  /** `IP:PORT` that it registered with. */
  readonly address: string;
  /** Digest of the registration token: the same token again is no second registration. */
  readonly registeredWith: string;
}

/** The name that only the control plane has a certificate for. */
export const controlPlaneName = "control-plane.wrenn.internal";

/** The name in the certificate of a host. */
export function hostName(hostId: string): string {
  return `${hostId}.host.wrenn.internal`;
}
