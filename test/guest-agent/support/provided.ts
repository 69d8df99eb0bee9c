import type { PlatformAddress } from "../../support/platform-process.ts";
import type { TargetName } from "./guest.ts";

/** What the global set-up hands to every suite. */
declare module "vitest" {
  export interface ProvidedContext {
    guestTargets: TargetName[];
    /** Where capsules come from; undefined when only bare agents are under test. */
    guestPlatform: PlatformAddress | undefined;
  }
}
