import { randomBytes } from "node:crypto";
import { link, readFile, unlink, writeFile } from "node:fs/promises";
import { dirname } from "node:path";
import { errnoOf, WrennError } from "@wrenn/contracts";
import { type Parse, syncDirectory } from "@wrenn/daemon";

/** Where the key of everything that is sealed in the database comes from. */
export interface EncryptionKeySource {
  /** From the environment; undefined: the file. */
  key: Buffer | undefined;
  file: string;
}

/** 64 hexadecimal digits: a key of AES-256. */
export const encryptionKey: Parse<Buffer> = (text) => {
  if (!/^[0-9a-fA-F]{64}$/.test(text)) throw new Error("must be 64 hexadecimal digits");
  return Buffer.from(text, "hex");
};

/**
 * The key that something in the database is sealed with.
 *
 * @throws {WrennError} `config_invalid` when it is not there.
 */
export async function readEncryptionKey({ key, file }: EncryptionKeySource): Promise<Buffer> {
  if (key) return key;
  const text = await readFile(file, "utf8").catch((cause: unknown) => {
    const sentence = `the key of what is sealed in the database is not there; restore ${file}, or set WRENN_ENCRYPTION_KEY`;
    throw new WrennError("config_invalid", sentence, { cause });
  });
  try {
    return encryptionKey(text.trim());
  } catch (cause) {
    throw new WrennError("config_invalid", `${file} must hold 64 hexadecimal digits; restore it`, { cause });
  }
}

/** The key, made when there is none. For a database in which nothing is sealed. */
export async function ensureEncryptionKey(source: EncryptionKeySource): Promise<Buffer> {
  if (!source.key) await makeFile(source.file);
  return readEncryptionKey(source);
}

/** link(2) gives the name to one of several processes, and to none a file that is not whole. */
async function makeFile(file: string): Promise<void> {
  const temporary = `${file}.${randomBytes(6).toString("hex")}.tmp`;
  await writeFile(temporary, `${randomBytes(32).toString("hex")}\n`, {
    mode: 0o600,
    flag: "wx",
    flush: true,
  });
  try {
    await link(temporary, file);
  } catch (error) {
    if (errnoOf(error) !== "EEXIST") throw error;
  } finally {
    await unlink(temporary);
  }
  await syncDirectory(dirname(file));
}
