import { mkdtemp, readdir, readFile, rm, stat, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "@wrenn/contracts";
import { makeLogger } from "@wrenn/daemon";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { type Layout, layoutOf } from "../layout.ts";
import { startForeignControlPlane } from "../testing/foreign-control-plane.ts";
import { ensureRegistered, readRegistration } from "./ensure-registered.ts";
import type { HostIdentity } from "./identity.ts";
import { readIdentity, writeCertificate, writeIdentity } from "./identity-store.ts";

let layout: Layout;
beforeEach(async () => {
  layout = layoutOf(await mkdtemp(join(tmpdir(), "wrenn-identity-")));
});
afterEach(() => rm(layout.root, { recursive: true }));

function identity(changes: Partial<HostIdentity> = {}): HostIdentity {
  return {
    hostId: newId("host"),
    token: "wrh_secret",
    keyPem: "key",
    certificatePem: "certificate",
    caCertificatePem: "ca",
    address: "192.0.2.7:50051",
    registeredWith: "digest",
    ...changes,
  };
}

test("what was stored is read again, and secrets are the owner's alone", async () => {
  const stored = identity();
  await writeIdentity(layout, stored);
  expect(await readIdentity(layout)).toEqual(stored);
  expect((await readdir(layout.root)).sort()).toEqual(
    ["ca-certificate.pem", "host-certificate.pem", "host-key.pem", "host-token", "host.json"].sort(),
  );
  for (const path of [layout.hostToken, layout.hostKey, layout.host]) {
    expect((await stat(path)).mode & 0o777).toBe(0o600);
  }
  expect(JSON.parse(await readFile(layout.host, "utf8"))).toMatchObject({
    version: 1,
    host_id: stored.hostId,
  });
});

test("a renewed certificate replaces only itself", async () => {
  const stored = identity();
  await writeIdentity(layout, stored);
  await writeCertificate(layout, "renewed");
  expect(await readIdentity(layout)).toEqual({ ...stored, certificatePem: "renewed" });
});

test("without its token, which is written last, there is no registration", async () => {
  expect(await readIdentity(layout)).toBeUndefined();
  await writeIdentity(layout, identity());
  await rm(layout.hostToken);
  expect(await readIdentity(layout)).toBeUndefined();
});

test("a token from before hosts were registered is none", async () => {
  await writeFile(layout.hostToken, "ab".repeat(32));
  expect(await readIdentity(layout)).toBeUndefined();
});

describe("is refused with what to do", () => {
  test.each([
    ["a newer version", '{"version": 2, "host_id": "x"}', /version 2, which a newer agent wrote/],
    ["half a file", '{"version": 1, "ho', /incomplete; register this host again/],
    ["no object", "null", /incomplete; register this host again/],
  ])("%s", async (_, text, message) => {
    await writeIdentity(layout, identity());
    await writeFile(layout.host, text);
    await expect(readIdentity(layout)).rejects.toThrow(
      expect.objectContaining({ code: "config_invalid", message: expect.stringMatching(message) }),
    );
  });

  test("a missing key", async () => {
    await writeIdentity(layout, identity());
    await rm(layout.hostKey);
    await expect(readIdentity(layout)).rejects.toThrow(/incomplete/);
  });
});

describe("a start", () => {
  const logger = makeLogger("registration", "silent");
  const { signal } = new AbortController();
  const specs = async () => ({
    address: "192.0.2.7:50051",
    arch: "x64",
    cpu_cores: 2,
    memory_mb: 4096,
    disk_gb: 10,
    agent_version: "1",
    sent_at: new Date().toISOString(),
  });

  test("with neither a registration nor a token says what to do", async () => {
    await expect(readRegistration(layout, undefined)).rejects.toMatchObject({
      code: "config_invalid",
      message: expect.stringMatching(/not registered; make a token with POST \/v1\/hosts/),
    });
  });

  test("registers once with a token, and later needs none, nor minds the same one", async () => {
    await using plane = await startForeignControlPlane();
    const token = plane.token();
    const start = async (text?: string) =>
      await ensureRegistered(await readRegistration(layout, text), layout, {
        url: plane.url,
        specs,
        signal,
        logger,
      });
    const first = await start(token);
    expect(await start()).toEqual(first);
    expect(await start(token)).toEqual(first);
    expect(plane.requests).toHaveLength(1);

    const second = await start(plane.token());
    expect(second.hostId).not.toBe(first.hostId);
    expect(await start()).toEqual(second);
  });

  test("with a new token mends a registration that cannot be read", async () => {
    await writeIdentity(layout, identity());
    await rm(layout.hostKey);
    const token = `wrr_${newId("host")}.${"a".repeat(43)}.${"0".repeat(64)}`;
    expect(await readRegistration(layout, token)).toMatchObject({ identity: undefined });
  });

  test("whose registration is refused keeps the one there is", async () => {
    const stored = identity();
    await writeIdentity(layout, stored);
    await using plane = await startForeignControlPlane();
    plane.answer = () => ({ status: 401, body: { error: { code: "token_used", message: "used" } } });
    const registration = await readRegistration(layout, plane.token());
    const options = { url: plane.url, specs, signal, logger };
    await expect(ensureRegistered(registration, layout, options)).rejects.toMatchObject({
      code: "token_used",
    });
    expect(await readIdentity(layout)).toEqual(stored);
  });
});
