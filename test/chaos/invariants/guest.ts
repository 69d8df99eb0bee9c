import type { Api } from "../../support/api.ts";
import type { CapsuleModel } from "../capsule-model.ts";
import { type Inspected, inspectScript, parseInspection } from "../guest-side.ts";
import type { Model } from "../model.ts";

/** A guest's clock may be off by so much when it is asked for the time on a busy machine. */
const clockSec = 5;

/** Looks into a running guest: everything that was acknowledged is there, and its memory is what it was. */
export async function inspectGuest(api: Api, model: Model, capsule: CapsuleModel): Promise<void> {
  const { stdout } = await api.shell(capsule.id, inspectScript, { user: "root" });
  const found = parseInspection(stdout);
  for (const problem of problemsOf(capsule, found)) model.violated(`${capsule.id} ${problem}`);
  capsule.counter = found.counter;
  capsule.identity = found.identity;
  // What was begun and is not there now was not done.
  keepOnly(capsule, found);
}

function problemsOf(capsule: CapsuleModel, found: Inspected): string[] {
  return [
    ...found.damaged.map((line) => `has a damaged file: ${line}`),
    ...capsule.disk.problems("on disk", found.disk),
    ...capsule.memory.problems("in memory", found.memory),
    ...counterProblems(capsule, found),
    ...(capsule.identity !== undefined && capsule.identity !== found.identity
      ? [`was ${capsule.identity}, and is ${found.identity}`]
      : []),
    ...(/^\S+ [0-9a-f]{32}$/.test(found.identity) ? [] : [`is "${found.identity}", which is no computer`]),
    ...(Math.abs(found.time - Date.now() / 1000) > clockSec
      ? [`says it is ${new Date(found.time * 1000).toISOString()}`]
      : []),
  ];
}

function counterProblems({ counter: before }: CapsuleModel, { counter, counting }: Inspected): string[] {
  if (!before) return [];
  if (!counter) return [`has lost the counter ${before.nonce}`];
  if (counter.nonce !== before.nonce || counter.pid !== before.pid) {
    return [`has the counter ${counter.nonce} of ${counter.pid}, it was ${before.nonce} of ${before.pid}`];
  }
  if (counter.value < before.value) return [`counted to ${before.value}, and is at ${counter.value}`];
  return counting ? [] : [`has lost the process that counts`];
}

/** What was seen stays; what was not is not coming any more, but for what still runs in the guest. */
function keepOnly(capsule: CapsuleModel, found: Inspected): void {
  for (const [token, sum] of found.disk) capsule.disk.acknowledged.set(token, sum);
  for (const [token, sum] of found.memory) capsule.memory.acknowledged.set(token, sum);
}

/** No two capsules have a host name, or a machine id, in common. */
export function checkIdentities(model: Model): void {
  const names = model
    .live()
    .flatMap(({ id, identity = "" }) => identity.split(" ").map((name) => ({ id, name })));
  for (const [name, same] of Map.groupBy(names, (named) => named.name)) {
    if (name !== "" && same.length > 1) {
      model.violated(`${same.map(({ id }) => id).join(" and ")} are both ${name}`);
    }
  }
}
