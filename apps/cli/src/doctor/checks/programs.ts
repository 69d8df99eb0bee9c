import type { Finding } from "@wrenn/contracts";
import { findProgram } from "@wrenn/daemon";
import type { CheckContext } from "../check.ts";

/** Programs that run capsules and that build images, each with the Debian package that brings it. */
const packageOf: Readonly<Record<string, string>> = {
  "qemu-system-x86_64": "qemu-system-x86",
  "qemu-img": "qemu-utils",
  ip: "iproute2",
  nft: "nftables",
  nsenter: "util-linux",
  sysctl: "procps",
  passt: "passt",
  mmdebstrap: "mmdebstrap",
  "mkfs.ext4": "e2fsprogs",
  lz4: "lz4",
  busybox: "busybox-static",
};

/** Programs that only one of the two networks needs. */
const ofRoot = ["ip", "nft", "sysctl"];
const ofOthers = ["passt"];

/** File system tools are in sbin, which is not on every user's path. */
const sbin = "/usr/local/sbin:/usr/sbin:/sbin";

/** The host's programs, so that one `apt-get install` brings all that is missing. */
export async function checkPrograms({ env }: Pick<CheckContext, "env">): Promise<Finding> {
  const name = "programs";
  const path = `${env.PATH ?? ""}:${sbin}`;
  const unused = process.getuid?.() === 0 ? ofOthers : ofRoot;
  const needed = Object.keys(packageOf).filter((program) => !unused.includes(program));
  const missing: string[] = [];
  for (const program of needed) {
    if ((await findProgram(program, path)) === undefined) missing.push(program);
  }
  if (missing.length === 0) {
    return { name, status: "ok", detail: `all ${needed.length} are installed` };
  }
  const packages = [...new Set(missing.map((program) => packageOf[program]))];
  return {
    name,
    status: "failing",
    detail: `${missing.join(", ")} ${missing.length > 1 ? "are" : "is"} not installed`,
    cure: `apt-get install ${packages.join(" ")}`,
  };
}
