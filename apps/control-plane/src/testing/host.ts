import type {
  HostCredentials,
  HostReportAnswer,
  HostReportBody,
  HostWithToken,
  RegisterHostBody,
  ReportedCapsule,
} from "@wrenn/contracts/rest";
import type { InjectOptions, LightMyRequestResponse } from "fastify";
import type { TlsMaterial } from "../authority/authority.ts";
import type { ForeignAgent } from "./foreign-agent.ts";
import { makeSigningRequest } from "./signing-request.ts";

/** How to make a request to a control plane. */
export type Inject = (options: InjectOptions) => Promise<LightMyRequestResponse>;

/** What a host says of itself in tests. */
export const testSpecs = {
  arch: "x64",
  cpu_cores: 8,
  memory_mb: 16_384,
  disk_gb: 100,
  agent_version: "9",
} as const;

/** A host as its agent sees itself. */
export interface TestHost {
  id: string;
  token: string;
  agent: ForeignAgent;
  identity: TlsMaterial;
  epoch: number;
  revision: number;
  /** A report of this; the full set, of the next revision, unless the test says otherwise. */
  report(
    capsules?: Partial<ReportedCapsule>[],
    changes?: Partial<HostReportBody>,
    via?: Inject,
  ): Promise<LightMyRequestResponse>;
  /** A report that is taken. */
  told(
    capsules?: Partial<ReportedCapsule>[],
    changes?: Partial<HostReportBody>,
    via?: Inject,
  ): Promise<HostReportAnswer>;
}

export async function createHost(inject: Inject, apiKey: string): Promise<HostWithToken> {
  const headers = { "x-api-key": apiKey };
  return (await inject({ method: "POST", url: "/v1/hosts", headers })).json<HostWithToken>();
}

/** A body that registers a host, if its token is good. */
export async function registration(
  token: string,
  changes: Partial<RegisterHostBody> = {},
): Promise<RegisterHostBody> {
  const csr = changes.csr_pem ?? (await makeSigningRequest()).csrPem;
  const sent_at = new Date().toISOString();
  return { token, csr_pem: csr, address: "127.0.0.1:1", sent_at, ...testSpecs, ...changes };
}

/** Registers an agent as a host, the way agents do it, and lets it report once. */
export async function registerTestHost(
  inject: Inject,
  apiKey: string,
  agent: ForeignAgent,
): Promise<TestHost> {
  const { registration_token: token } = await createHost(inject, apiKey);
  const { csrPem, keyPem } = await makeSigningRequest();
  const payload = await registration(token, { csr_pem: csrPem, address: agent.address });
  const response = await inject({ method: "POST", url: "/v1/hosts/register", payload });
  const credentials = response.json<HostCredentials>();
  const identity = { cert: credentials.certificate_pem, key: keyPem, ca: credentials.ca_certificate_pem };
  agent.identify(identity);
  const host = asTestHost(inject, credentials, agent, identity);
  await host.told();
  return host;
}

function asTestHost(
  inject: Inject,
  credentials: HostCredentials,
  agent: ForeignAgent,
  identity: TlsMaterial,
): TestHost {
  const { id } = credentials.host;
  const host: TestHost = {
    id,
    token: credentials.token,
    agent,
    identity,
    epoch: 1,
    revision: 0,
    async report(capsules = [], changes = {}, via = inject) {
      host.revision += 1;
      const body: HostReportBody = {
        ...testSpecs,
        address: agent.address,
        sent_at: new Date().toISOString(),
        epoch: host.epoch,
        revision: host.revision,
        capsules: capsules.map((capsule) => ({
          id: "",
          state: "running",
          generation: 1,
          revision: 1,
          versions: {},
          ...capsule,
        })),
        ...changes,
      };
      const headers = { "x-host-token": host.token };
      return via({ method: "POST", url: `/v1/hosts/${id}/report`, headers, payload: body });
    },
    async told(capsules, changes, via) {
      const response = await host.report(capsules, changes, via);
      if (response.statusCode !== 200) throw new Error(`the report was refused: ${response.body}`);
      return response.json<HostReportAnswer>();
    },
  };
  return host;
}
