import { newId } from "@wrenn/contracts";
import { makeLogger } from "@wrenn/daemon";
import { expect, test, vi } from "vitest";
import { refusal, startForeignControlPlane } from "../testing/foreign-control-plane.ts";
import { CertificateRenewal, renewalTime } from "./certificate-renewal.ts";
import { ControlPlaneClient } from "./control-plane-client.ts";
import { checkHostCertificate } from "./credentials.ts";
import { makeCertificateRequest, makeHostKey } from "./host-key.ts";
import type { HostIdentity } from "./identity.ts";

const dayMs = 86_400_000;
const logger = makeLogger("renewal", "silent");

test("a certificate is due when a third of its time is left", async () => {
  await using plane = await startForeignControlPlane();
  const hostId = newId("host");
  const csr = await makeCertificateRequest(hostId, await makeHostKey());
  const due = renewalTime(await plane.authority.sign(csr, hostId, 90 * dayMs)).getTime() - Date.now();
  expect(due / dayMs).toBeGreaterThan(59);
  expect(due / dayMs).toBeLessThan(61);
});

test.each([["http"], ["https"]])(
  "over %s, one that is due is renewed with the same key, and put to use",
  async (scheme) => {
    await using plane = await startForeignControlPlane(
      scheme === "https" ? { names: { ip: ["127.0.0.1"] } } : {},
    );
    const hostId = newId("host");
    const keyPem = await makeHostKey();
    // Its hour before now is more than two thirds of its time.
    const certificatePem = await plane.authority.sign(
      await makeCertificateRequest(hostId, keyPem),
      hostId,
      60_000,
    );
    const identity: HostIdentity = {
      hostId,
      token: "wrh_token",
      keyPem,
      certificatePem,
      caCertificatePem: plane.authority.certificatePem,
      address: "192.0.2.7:50051",
      registeredWith: "",
    };
    await using client = new ControlPlaneClient(plane.url, {
      caCertificatePem: identity.caCertificatePem,
      identity,
    });
    const adopt = vi.fn(async (_: HostIdentity) => {});
    await using _ = new CertificateRenewal({ identity, client, adopt, logger });
    await vi.waitFor(() => expect(adopt).toHaveBeenCalledOnce());
    const [renewed] = adopt.mock.calls[0] ?? [];
    if (!renewed) throw new Error("nothing was renewed");
    expect(renewed).toEqual({ ...identity, certificatePem: renewed.certificatePem });
    checkHostCertificate(renewed.certificatePem, identity);
    expect(renewalTime(renewed.certificatePem).getTime()).toBeGreaterThan(Date.now() + 50 * dayMs);
    expect(plane.requests[0]?.headers["x-host-token"]).toBe("wrh_token");
    expect(plane.requests).toHaveLength(1);
  },
);

test("a renewal that is refused, or answers for somebody else, leaves the certificate as it is", async () => {
  await using plane = await startForeignControlPlane();
  const hostId = newId("host");
  const keyPem = await makeHostKey();
  const otherKey = await makeCertificateRequest(hostId, await makeHostKey());
  const answers = [
    () => refusal(401, "unauthorized", "no such host"),
    async () => ({
      body: {
        certificate_pem: await plane.authority.sign(otherKey, hostId),
        ca_certificate_pem: plane.authority.certificatePem,
      },
    }),
  ];
  for (const answer of answers) {
    plane.answer = answer;
    const certificatePem = await plane.authority.sign(
      await makeCertificateRequest(hostId, keyPem),
      hostId,
      60_000,
    );
    const caCertificatePem = plane.authority.certificatePem;
    const identity = {
      hostId,
      token: "t",
      keyPem,
      certificatePem,
      caCertificatePem,
      address: "",
      registeredWith: "",
    };
    await using client = new ControlPlaneClient(plane.url, { caCertificatePem, identity });
    const adopt = vi.fn(async () => {});
    const failed = Promise.withResolvers<void>();
    const listening = {
      ...logger,
      error: () => failed.resolve(),
      info: () => {},
    } as unknown as typeof logger;
    await using _ = new CertificateRenewal({ identity, client, adopt, logger: listening });
    await failed.promise;
    expect(adopt).not.toHaveBeenCalled();
  }
});
