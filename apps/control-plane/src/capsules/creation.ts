import { newId, WrennError } from "@wrenn/contracts";
import type { CreateCapsuleBody } from "@wrenn/contracts/rest";
import type { CapsuleRow } from "../database/schema.ts";
import type { Host } from "../hosts/host.ts";
import type { Hosts } from "../hosts/hosts.ts";
import type { OwnedKey } from "../idempotency/owned-key.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics/metrics.ts";
import type { SnapshotStore } from "../snapshots/store.ts";
import { type Candidates, createOnHost } from "./create.ts";
import { refuseVersionNames } from "./metadata.ts";
import type { CapsuleOperations } from "./operations.ts";
import { type CapsulePlan, planCapsule } from "./plan.ts";
import type { CapsuleStore } from "./store.ts";

export interface CreationParts {
  store: CapsuleStore;
  snapshots: SnapshotStore;
  hosts: Hosts;
  operations: CapsuleOperations;
  metrics: Metrics;
}

export interface Creation {
  teamId: string;
  body: CreateCapsuleBody;
  /** The request's key: made again, the request finds the capsule that it has made. */
  key: OwnedKey | undefined;
  logger: Log;
}

/**
 * Creates a capsule and answers when it runs. It is made even if the caller has gone.
 *
 * @throws {WrennError} `invalid_request` or `not_found` before anything is made, or what the host said.
 */
export async function createCapsule(creation: Creation, parts: CreationParts): Promise<CapsuleRow> {
  const { teamId, body, key } = creation;
  refuseVersionNames(body.metadata);
  const [id = newId("capsule")] = (await key?.ids("capsule", 1)) ?? [];
  const made = key?.again ? await parts.store.find(teamId, id) : undefined;
  if (!made) return create(id, creation, parts);
  if (made.started_at !== null) return made;
  if (made.state === "pending" || made.state === "starting") return goOn(made, creation, parts);
  if (made.state !== "error") throw new WrennError("invalid_state", `capsule ${id} was destroyed meanwhile`);
  const [another = newId("capsule")] = (await key?.ids("capsule", 1, true)) ?? [];
  return create(another, creation, parts);
}

async function create(
  id: string,
  { teamId, body, logger }: Creation,
  parts: CreationParts,
): Promise<CapsuleRow> {
  const { store, hosts, operations, metrics, snapshots } = parts;
  const plan = await planCapsule(teamId, body, snapshots);
  return metrics.operation("create", async () => {
    const { host, others } = await placesFor(plan, hosts);
    return operations.run(id, async () => {
      const capsule = { ...plan.capsule, id };
      const pending = await (plan.snapshot
        ? store.insertFrom(plan.snapshot.id, capsule)
        : store.insert(capsule));
      return createOnHost(pending, host, { store, hosts }, logger, others);
    });
  });
}

/** What another control plane has begun, or we have lost sight of. The host joins a command that it has already. */
async function goOn(
  made: CapsuleRow,
  { teamId, body, key, logger }: Creation,
  parts: CreationParts,
): Promise<CapsuleRow> {
  const { store, hosts, operations, metrics, snapshots } = parts;
  const ours = await store.takeOver(made);
  if (!ours) throw key?.notYet();
  return metrics.operation("create", async () => {
    const plan = await planCapsule(teamId, body, snapshots);
    const { host, others } = await placesFor(plan, hosts, ours.host_id ?? undefined);
    return operations.run(made.id, () => createOnHost(ours, host, { store, hosts }, logger, others));
  });
}

interface Places {
  host: Host;
  /** Hosts that are tried after that. */
  others: Candidates | undefined;
}

/**
 * A snapshot lies on one host. Else any host that has the template will do.
 *
 * @param placed the host that it is placed on already.
 * @throws {WrennError} `not_found` for a template that no host has, before anything is made of it.
 */
async function placesFor(
  { capsule, snapshot }: CapsulePlan,
  hosts: Hosts,
  placed: string | null = snapshot?.host_id ?? null,
): Promise<Places> {
  if (placed !== null) return { host: await hosts.get(placed), others: undefined };
  const candidates = await hosts.candidates();
  const others = having(capsule.template, candidates);
  const first = await others.next();
  if (!first.done) return { host: first.value, others };
  const names = new Set<string>();
  for (const host of candidates) for (const name of (await host.describe()).templates) names.add(name);
  const sentence = `there is no template "${capsule.template}"; there is ${[...names].join(", ") || "none yet"}`;
  throw new WrennError("not_found", sentence, { field: "template" });
}

/** Of some hosts those that have a template, asked one after the other. */
async function* having(template: string, hosts: readonly Host[]): AsyncGenerator<Host> {
  for (const host of hosts) {
    // A host that cannot be asked cannot create either, and that is where it is told.
    if (await host.hasTemplate(template).catch(() => true)) yield host;
  }
}
