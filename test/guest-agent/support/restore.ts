import { randomBytes } from "node:crypto";
import type { Guest } from "./guest.ts";

export type Fields = Record<string, unknown>;

/** `POST /init`. */
export async function init(guest: Guest, body: Fields): Promise<Response> {
  return await guest.fetch("/init", { method: "POST", body: JSON.stringify(body) });
}

/** As {@link init}, for what must be taken; the guest's token is then the new one, if there is one. */
export async function mustInit(guest: Guest, body: Fields): Promise<void> {
  const response = await init(guest, body);
  if (response.status !== 204) throw new Error(`/init answered ${response.status}: ${await response.text()}`);
  if (typeof body.accessToken === "string") guest.token = body.accessToken;
}

/** What every restore brings. */
export function resumeOf(restoreEpoch: number): Fields {
  return {
    restoreEpoch,
    kind: "resume",
    timestamp: new Date().toISOString(),
    randomSeed: randomBytes(64).toString("base64"),
  };
}

/** A computer of its own, with everything that one must have. */
export function cloneOf(restoreEpoch: number, hostname: string): Fields {
  return {
    ...resumeOf(restoreEpoch),
    kind: "clone",
    hostname,
    machineId: randomBytes(16).toString("hex"),
    accessToken: randomBytes(16).toString("hex"),
  };
}
