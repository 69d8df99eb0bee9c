import { webcrypto } from "node:crypto";
import { WrennError } from "@wrenn/contracts";
import type { Kysely } from "kysely";
import type { Schema } from "../database/schema.ts";
import { type Identity, keyAlgorithm, makeAuthority } from "./certificates.ts";
import { type EncryptionKeySource, ensureEncryptionKey, readEncryptionKey } from "./encryption-key.ts";
import { seal, unseal } from "./seal.ts";
import { findAuthority, insertAuthority, type SealedAuthority, withAuthorityLock } from "./store.ts";
import { X509Certificate } from "./x509.ts";

const purpose = "wrenn platform authority key";

/**
 * The platform's certificate authority from the database, made by whichever control plane is the first.
 *
 * @throws {WrennError} `config_invalid` when its key cannot be opened with our encryption key.
 */
export async function loadAuthority(db: Kysely<Schema>, source: EncryptionKeySource): Promise<Identity> {
  return withAuthorityLock(db, async (transaction) => {
    const known = await findAuthority(transaction);
    if (known) return open(known, await readEncryptionKey(source));
    const key = await ensureEncryptionKey(source);
    const made = await makeAuthority();
    const pkcs8 = Buffer.from(await webcrypto.subtle.exportKey("pkcs8", made.key));
    const sealedKey = seal(key, purpose, pkcs8);
    await insertAuthority(transaction, { certificatePem: made.certificate.toString("pem"), sealedKey });
    return made;
  });
}

async function open({ certificatePem, sealedKey }: SealedAuthority, key: Buffer): Promise<Identity> {
  const pkcs8 = unsealed(key, sealedKey);
  return {
    certificate: new X509Certificate(certificatePem),
    key: await webcrypto.subtle.importKey("pkcs8", pkcs8, keyAlgorithm, true, ["sign"]),
  };
}

function unsealed(key: Buffer, sealedKey: Buffer): Buffer<ArrayBuffer> {
  try {
    return Buffer.from(unseal(key, purpose, sealedKey));
  } catch (cause) {
    const sentence =
      "the platform's certificate authority was sealed with another key; " +
      "set WRENN_ENCRYPTION_KEY, or WRENN_DIR/encryption-key, to the one of the platform's first control plane";
    throw new WrennError("config_invalid", sentence, { cause });
  }
}
