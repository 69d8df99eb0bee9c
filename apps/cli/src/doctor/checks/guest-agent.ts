import { access, constants } from "node:fs/promises";
import type { Finding } from "@wrenn/contracts";
import type { CheckContext } from "../check.ts";

/** The program that goes into every image. */
export async function checkGuestAgent({ config }: Pick<CheckContext, "config">): Promise<Finding> {
  const name = "guest agent";
  const path = config.envdBinary;
  if (path === undefined) return { name, status: "ok", detail: "carried by this program" };
  const there = await access(path, constants.X_OK).then(
    () => true,
    () => false,
  );
  if (there) return { name, status: "ok", detail: path };
  return {
    name,
    status: "warning",
    detail: `there is no program at ${path} yet, so no image can be made`,
    cure: "make envd (it needs cargo), or set WRENN_ENVD_BIN",
  };
}
