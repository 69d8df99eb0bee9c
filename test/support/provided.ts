import type { PlatformAddress } from "./platform-process.ts";

/** What the global set-up hands to every suite. */
declare module "vitest" {
  export interface ProvidedContext {
    platform: PlatformAddress;
    /** Data directory that holds kernels and images. */
    imagesDir: string;
    envdBinary: string;
  }
}
