import type { Lifetime, Logger } from "@wrenn/daemon";
import type { AgentConfig } from "./config.ts";
import { reachableAddress } from "./host/address.ts";
import { hostSpecs } from "./host/specs.ts";
import type { Layout } from "./layout.ts";
import type { AgentMetrics } from "./metrics/metrics.ts";
import { CertificateRenewal } from "./registration/certificate-renewal.ts";
import { ControlPlaneClient, type Trust } from "./registration/control-plane-client.ts";
import { ensureRegistered, type Registration } from "./registration/ensure-registered.ts";
import type { HostIdentity } from "./registration/identity.ts";
import { writeCertificate } from "./registration/identity-store.ts";
import type { ChangeLog } from "./reports/change-log.ts";
import { Reporter } from "./reports/reporter.ts";
import type { AgentServer } from "./server.ts";

export interface LinkParts {
  readonly config: AgentConfig;
  readonly layout: Layout;
  readonly registration: Registration;
  readonly server: AgentServer;
  readonly changes: ChangeLog;
  readonly metrics: AgentMetrics;
  readonly logger: Logger;
}

/**
 * Makes this host the control plane's: registers it if need be, lets the control plane in, keeps the certificate
 * valid, and reports. What it holds is released with the lifetime; the reports end first.
 */
export async function linkToControlPlane(parts: LinkParts, { stack, signal }: Lifetime): Promise<Reporter> {
  const { config, layout, registration, server, changes, metrics, logger } = parts;
  const url = config.controlPlaneUrl;
  const address = reachableAddress(config, server.port, registration.identity?.address);
  const specs = () => hostSpecs(address, layout.root);
  const identity = await ensureRegistered(registration, layout, { url, specs, signal, logger });
  server.useIdentity(identity);

  const client = stack.use(new ControlPlaneClient(url, trustOf(identity)));
  const adopt = async (renewed: HostIdentity): Promise<void> => {
    await writeCertificate(layout, renewed.certificatePem);
    server.useIdentity(renewed);
    client.trust(trustOf(renewed));
  };
  stack.use(new CertificateRenewal({ identity, client, adopt, logger }));
  const { hostId } = identity;
  const reporter = stack.use(
    new Reporter({
      hostId,
      changes,
      specs,
      send: (report, reportSignal) => client.report(hostId, report, reportSignal),
      onReport: (outcome) => metrics.report(outcome),
      logger,
    }),
  );
  metrics.watchReportLag(() => reporter.lag);
  return reporter;
}

function trustOf(identity: HostIdentity): Trust {
  return { caCertificatePem: identity.caCertificatePem, identity };
}
