import { WrennError } from "@wrenn/contracts";

/** Refuses text that no path, argument or name in a guest can have: the kernel's strings end at a NUL. */
export function refuseNul(field: string, text: string | undefined): void {
  if (text?.includes("\0"))
    throw new WrennError("invalid_request", `${field} must not contain NUL`, { field });
}
