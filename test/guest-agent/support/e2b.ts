import * as latest from "e2b";
import * as older from "e2b-2.45";
import { beforeAll, describe } from "vitest";
import type { Guest } from "./guest.ts";

/** One version of E2B's package, as npm has it. The types of the latest do for both. */
export type Sdk = typeof latest;
export type Sandbox = latest.Sandbox;

const packages = [
  { name: "e2b 2.51", sdk: latest },
  { name: "e2b 2.45", sdk: older as unknown as Sdk },
];

/**
 * Defines the same tests for each version of E2B's client, unmodified, with a sandbox that is the guest. It is given what
 * the control plane would tell it: URL, access token and version of the agent, so that it signs, and authenticates.
 */
export function eachSdk(guest: () => Guest, define: (sandbox: () => Sandbox, sdk: Sdk) => void): void {
  describe.each(packages)("$name", ({ sdk }) => {
    let sandbox: Sandbox | undefined;
    beforeAll(async () => {
      // What a boot brings is a digest alone, and signatures need the token.
      await guest().fetch("/init", { method: "POST", body: JSON.stringify({ accessToken: guest().token }) });
      sandbox = await connectSdk(guest(), sdk, guest().token);
    });
    define(() => {
      if (!sandbox) throw new Error("a sandbox is there only while tests run");
      return sandbox;
    }, sdk);
  });
}

/** A sandbox of the SDK's with a token of its own. */
export async function connectSdk(guest: Guest, sdk: Sdk, envdAccessToken: string): Promise<Sandbox> {
  const envdVersion = (await guest.fetch("/health")).headers.get("x-envd-version") ?? "";
  return new sdk.Sandbox({
    sandboxId: "capsule",
    sandboxUrl: guest.baseUrl,
    apiKey: "e2b_00",
    envdVersion,
    envdAccessToken,
  });
}
