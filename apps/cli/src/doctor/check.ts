import type { Finding } from "@wrenn/contracts";
import type { CliConfig } from "../config.ts";

/** What a check looks at. It changes nothing that it does not put back. */
export interface CheckContext {
  readonly config: CliConfig;
  readonly env: NodeJS.ProcessEnv;
  /** Aborted when the check has had its time. */
  readonly signal: AbortSignal;
}

/** One look at one requirement, or at those that another program answers for. */
export type Check = (context: CheckContext) => Promise<Finding | readonly Finding[]>;
