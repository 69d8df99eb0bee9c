import { randomBytes, timingSafeEqual } from "node:crypto";
import { readFile } from "node:fs/promises";
import { errnoOf } from "@wrenn/contracts";
import { writeFileAtomic } from "@wrenn/daemon";

/** The token that opens this agent, from its file; made on the first start. */
export async function loadHostToken(path: string): Promise<string> {
  const present = await readFile(path, "utf8").catch((error: unknown) => {
    if (errnoOf(error) === "ENOENT") return "";
    throw error;
  });
  if (present.trim() !== "") return present.trim();
  const token = randomBytes(32).toString("hex");
  await writeFileAtomic(path, `${token}\n`, 0o600);
  return token;
}

/** Whether an `Authorization` header carries the token. Takes the same time whatever is wrong with it. */
export function carriesToken(authorization: string | null, token: string): boolean {
  const expected = Buffer.from(`Bearer ${token}`);
  const given = Buffer.from(authorization ?? "");
  return given.length === expected.length && timingSafeEqual(given, expected);
}
