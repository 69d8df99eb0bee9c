import { access, constants } from "node:fs/promises";
import { join } from "node:path";

/** Where an executable is on a path list, or undefined. Empty parts of the list mean nothing here. */
export async function findProgram(
  name: string,
  pathList: string | undefined = process.env.PATH,
): Promise<string | undefined> {
  for (const folder of (pathList ?? "").split(":").filter(Boolean)) {
    const path = join(folder, name);
    const found = await access(path, constants.X_OK).then(
      () => true,
      () => false,
    );
    if (found) return path;
  }
  return undefined;
}
