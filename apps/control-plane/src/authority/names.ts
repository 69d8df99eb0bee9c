/** What every control plane is called in its certificate: agents let nobody else in. */
export const controlPlaneName = "control-plane.wrenn.internal";

const hostSuffix = ".host.wrenn.internal";

/** What a host is called in its certificate. Nobody resolves the name. */
export function hostName(hostId: string): string {
  return `${hostId}${hostSuffix}`;
}

/** The host that a certificate is of, from its subject alternative names as Node.js spells them. */
export function hostIdOf(subjectAltName: string | undefined): string | undefined {
  const [only, ...more] = (subjectAltName ?? "").split(", ");
  if (more.length > 0 || !only?.startsWith("DNS:") || !only.endsWith(hostSuffix)) return undefined;
  return only.slice("DNS:".length, -hostSuffix.length);
}
