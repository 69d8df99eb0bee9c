import { WrennError } from "@wrenn/contracts";
import { versionNames } from "./versions.ts";

/** Refuses entries that would hide the version of what the capsule runs on. @throws {WrennError} `invalid_request` */
export function refuseVersionNames(metadata: Readonly<Record<string, string>> | undefined): void {
  const name = versionNames.find((version) => metadata !== undefined && Object.hasOwn(metadata, version));
  if (name === undefined) return;
  const sentence = `metadata.${name} is what a version is shown by; choose another name`;
  throw new WrennError("invalid_request", sentence, { field: `metadata.${name}` });
}
