import { access } from "node:fs/promises";
import { dirname } from "node:path";

/** The directory itself, or the nearest one above it that exists: there it would be made. */
export async function existingAncestor(path: string): Promise<string> {
  for (let candidate = path; ; candidate = dirname(candidate)) {
    const exists = await access(candidate).then(
      () => true,
      () => false,
    );
    if (exists || candidate === "/") return candidate;
  }
}
