import type { Guest } from "./guest.ts";

/** An empty directory on the guest's disk that every user may look into. */
export async function scratchDirectory(guest: Guest, parent = "/var/tmp"): Promise<string> {
  return (await guest.output(`path=$(mktemp -d ${parent}/test-XXXXXX); chmod 755 $path; echo $path`)).trim();
}
