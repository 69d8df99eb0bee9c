import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { Api } from "../../support/api.ts";
import type { PlatformAddress } from "../../support/platform-process.ts";
import { Guest } from "./guest.ts";

/** A capsule of the platform, destroyed with the stack; its guest agent is spoken to as the host agent does. */
export async function startCapsule(stack: AsyncDisposableStack, platform: PlatformAddress): Promise<Guest> {
  const { id } = await new Api(platform).capsule(stack);
  const { guestUrl, accessToken } = await journalOf(platform.wrennDir, id);
  return stack.use(
    new Guest({
      target: "capsule",
      baseUrl: guestUrl,
      token: accessToken,
      shipped: true,
      otherUsers: true,
    }),
  );
}

/** What only the host agent knows of a capsule. */
async function journalOf(wrennDir: string, id: string): Promise<{ guestUrl: string; accessToken: string }> {
  const text = await readFile(join(wrennDir, "journal", `${id}.journal`), "utf8");
  const steps = text
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line) as Record<string, string>);
  const guestUrl = steps.findLast(({ step }) => step === "started")?.guestUrl;
  const accessToken = steps.findLast(({ step }) => step === "claim")?.accessToken;
  if (!guestUrl || !accessToken) throw new Error(`the journal of ${id} names no guest`);
  return { guestUrl, accessToken };
}
