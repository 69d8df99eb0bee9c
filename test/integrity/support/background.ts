import type { Guest } from "./guest.ts";

/** Starts a program of shell that goes on, in a session of its own. */
export async function startInBackground(guest: Guest, program: string): Promise<void> {
  await guest.sh(`setsid bash -c '${program}' < /dev/null > /dev/null 2>&1 &`);
}

/** Waits until something listens on a TCP port of the guest. */
export async function untilListening(guest: Guest, port: number): Promise<void> {
  await guest.sh(`until ss -Hltn "sport = :${port}" | grep -q .; do sleep 0.1; done`);
}
