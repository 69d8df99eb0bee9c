import type { PlatformAddress } from "@wrenn/test/support/platform-process";

/** A platform that a suite measures. */
export interface MeasuredPlatform extends PlatformAddress {
  /** Process id of `wrenn up`. */
  readonly pid: number;
}
