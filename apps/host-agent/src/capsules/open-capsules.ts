import type { JournalContents } from "../journal/journal.ts";
import { openCapsulePool } from "../pool/capsule-pool.ts";
import type { PoolSizes } from "../pool/pool-sizes.ts";
import { openStores, type Stores } from "../snapshots/open-stores.ts";
import type { TemplateStore } from "../templates/template-store.ts";
import { heldBy } from "./held.ts";
import type { HostParts } from "./host-parts.ts";
import { reapOrphans } from "./reap.ts";
import { recoverCapsules } from "./recover.ts";
import { CapsuleService } from "./service.ts";

export type OpenOptions = Omit<HostParts, keyof Stores | "pool"> & {
  readonly templates: TemplateStore;
  /** Machines that wait for each base template, and for single ones of them. */
  readonly poolSize: number;
  readonly pools: PoolSizes;
};

/**
 * Finds what an earlier life of the agent left: removes what nobody owns, and takes up the rest.
 *
 * @param stack owns what is opened.
 */
export async function openCapsules(
  options: OpenOptions,
  contents: JournalContents,
  stack: AsyncDisposableStack,
): Promise<CapsuleService> {
  const { templates, poolSize, pools, ...made } = options;
  await reapOrphans(made.layout, contents, made.logger);
  const stores = await openStores({ ...made, templates }, heldBy(contents), stack);
  const pool = stack.use(openCapsulePool({ ...made, ...stores, poolSize, pools }));
  const parts = { ...made, ...stores, pool };
  const recovered = await recoverCapsules(contents, parts);
  return stack.use(new CapsuleService(parts, recovered));
}
