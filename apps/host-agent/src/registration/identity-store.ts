import { readFile, rm } from "node:fs/promises";
import { errnoOf, WrennError } from "@wrenn/contracts";
import { syncDirectory, writeFileAtomic } from "@wrenn/daemon";
import type { Layout } from "../layout.ts";
import type { HostIdentity } from "./identity.ts";

/** Format of `host.json`; grows when an older agent could not read it. */
const formatVersion = 1;

/**
 * The identity that a registration left, or undefined: then the host is not registered. The token is written last,
 * so where it is, everything is.
 *
 * @throws {WrennError} `config_invalid` when a newer agent wrote it or it cannot be read.
 */
export async function readIdentity(layout: Layout): Promise<HostIdentity | undefined> {
  const token = (await readIfPresent(layout.hostToken))?.trim();
  const description = await readIfPresent(layout.host);
  // A token alone is from before hosts were registered: it opens nothing.
  if (!token || description === undefined) return undefined;
  const [keyPem, certificatePem, caCertificatePem] = await Promise.all(
    [layout.hostKey, layout.hostCertificate, layout.caCertificate].map(readIfPresent),
  );
  if (!keyPem || !certificatePem || !caCertificatePem) throw damaged(layout.host);
  return { ...parseDescription(description, layout.host), token, keyPem, certificatePem, caCertificatePem };
}

/** Replaces what there is. A crash in between leaves a host that is not registered: the old token is void already. */
export async function writeIdentity(layout: Layout, identity: HostIdentity): Promise<void> {
  await rm(layout.hostToken, { force: true });
  await syncDirectory(layout.root);
  const { hostId, address, registeredWith } = identity;
  const description = { version: formatVersion, host_id: hostId, address, registered_with: registeredWith };
  await writeFileAtomic(layout.host, `${JSON.stringify(description, undefined, 2)}\n`);
  await writeFileAtomic(layout.hostKey, identity.keyPem);
  await writeFileAtomic(layout.hostCertificate, identity.certificatePem, 0o644);
  await writeFileAtomic(layout.caCertificate, identity.caCertificatePem, 0o644);
  await writeFileAtomic(layout.hostToken, `${identity.token}\n`);
}

/** Replaces the certificate by a renewed one of the same key: one file, so old or new, never a mixture. */
export async function writeCertificate(layout: Layout, certificatePem: string): Promise<void> {
  await writeFileAtomic(layout.hostCertificate, certificatePem, 0o644);
}

function parseDescription(
  text: string,
  path: string,
): Pick<HostIdentity, "hostId" | "address" | "registeredWith"> {
  const value = parseJson(text);
  const version = value?.version;
  if (typeof version === "number" && version > formatVersion) {
    throw new WrennError(
      "config_invalid",
      `${path} is of version ${version}, which a newer agent wrote; run that one`,
    );
  }
  const { host_id: hostId, address, registered_with: registeredWith } = value ?? {};
  if (typeof hostId !== "string" || typeof address !== "string") throw damaged(path);
  return { hostId, address, registeredWith: typeof registeredWith === "string" ? registeredWith : "" };
}

function parseJson(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return typeof value === "object" && value !== null ? { ...value } : undefined;
  } catch {
    return undefined;
  }
}

function damaged(path: string): WrennError {
  return new WrennError(
    "config_invalid",
    `${path} and the files beside it are incomplete; register this host again with a new token`,
  );
}

async function readIfPresent(path: string): Promise<string | undefined> {
  return await readFile(path, "utf8").catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return undefined;
    throw error;
  });
}
