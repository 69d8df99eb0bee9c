import { argon2, randomBytes } from "node:crypto";
import { promisify } from "node:util";

/** OWASP's second choice for Argon2id: 19 MiB, two passes, one lane. */
const cost = { memory: 19_456, passes: 2, parallelism: 1 };
const saltBytes = 16;
const hashBytes = 32;

/**
 * Hashes a password with Argon2id and a salt of its own, as a PHC string (`$argon2id$v=19$m=…,t=…,p=…$salt$hash`),
 * which says how to verify it: https://github.com/P-H-C/phc-string-format
 */
export async function hashPassword(password: string): Promise<string> {
  const nonce = randomBytes(saltBytes);
  const parameters = { ...cost, message: password, nonce, tagLength: hashBytes };
  const hash = await promisify(argon2)("argon2id", parameters);
  const { memory, passes, parallelism } = cost;
  return `$argon2id$v=19$m=${memory},t=${passes},p=${parallelism}$${unpadded(nonce)}$${unpadded(hash)}`;
}

function unpadded(bytes: Buffer): string {
  return bytes.toString("base64").replace(/=+$/, "");
}
