import type { Capsule } from "@wrenn/contracts/rest";
import type { CapsuleModel } from "../capsule-model.ts";
import type { Client } from "../client.ts";
import type { Model } from "../model.ts";
import { addCapsule } from "../operations/make.ts";
import { rulesText } from "../rules.ts";

/**
 * Compares what the platform lists with what clients know: nothing acknowledged is lost, nothing destroyed is back, and
 * what nobody was told of is what an operation without an answer has made.
 *
 * @returns listed capsules that nobody wants any more.
 */
export function compareListed(client: Client, listed: readonly Capsule[]): Capsule[] {
  const { model } = client;
  const unwanted = adoptUnanswered(client, listed);
  const byId = new Map(listed.map((capsule) => [capsule.id, capsule]));
  for (const capsule of model.capsules.values()) {
    const found = byId.get(capsule.id);
    if (found && capsule.presence === "gone")
      model.violated(`${capsule.id} was destroyed, and is ${found.state}`);
    if (!found && capsule.presence === "there") model.violated(`${capsule.id} (${capsule.origin}) is lost`);
    if (!found) capsule.presence = "gone";
    if (!found || capsule.presence === "gone") continue;
    // A destroy that was not acknowledged has not happened, or else it would have been settled.
    capsule.presence = "there";
    compareOne(model, capsule, found);
  }
  return unwanted;
}

function compareOne(model: Model, capsule: CapsuleModel, found: Capsule): void {
  const { id, state, reason, detail } = found;
  if (!capsule.states.has(state)) {
    const may = [...capsule.states].join(" or ");
    model.violated(`${id} is ${state} (${reason ?? "no reason"}: ${detail ?? ""}), it has to be ${may}`);
  } else if (state === "error" && reason !== "vmm_exited") {
    model.violated(`the machine of ${id} was killed, and the reason is ${reason}`);
  }
  capsule.states = new Set([state]);
  const rules = rulesText(found);
  if (!capsule.rules.has(rules)) {
    model.violated(`${id} has rules ${rules}, they have to be ${[...capsule.rules.keys()].join(" or ")}`);
  }
  capsule.rules.clear();
  capsule.mayHave(found);
}

/** Capsules of operations that had no answer: they are known now. Of a fork there are all or none. */
function adoptUnanswered(client: Client, listed: readonly Capsule[]): Capsule[] {
  const { model } = client;
  const unwanted: Capsule[] = [];
  const unknown = listed.filter(({ id }) => !model.capsules.has(id));
  for (const [origin, made] of Map.groupBy(unknown, ({ metadata }) => metadata.chaos ?? "")) {
    const expected = model.unanswered.get(origin);
    const alive = made.filter(({ state }) => state !== "error");
    unwanted.push(...made.filter(({ state }) => state === "error"));
    // A create that was interrupted and asked for again has made another, and its own row says why it failed.
    if (!expected && alive.length === 0) continue;
    if (!expected) model.violated(`nobody asked for ${made.map(({ id }) => id).join(", ")} (${origin})`);
    else if (alive.length > 0 && alive.length !== expected.count) {
      model.violated(`${origin} asked for ${expected.count} capsules, there are ${alive.length}`);
    }
    expected?.copy?.taken();
    for (const capsule of alive) addCapsule(client, capsule, origin, expected?.copy);
  }
  model.unanswered.clear();
  return unwanted;
}
