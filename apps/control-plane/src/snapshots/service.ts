import { randomBytes } from "node:crypto";
import { newId, WrennError } from "@wrenn/contracts";
import type { CreateSnapshotBody, Template, TemplateType } from "@wrenn/contracts/rest";
import type { BackgroundTasks } from "../background-tasks.ts";
import { checkAllowed } from "../capsules/allowed.ts";
import type { CommandParts } from "../capsules/command.ts";
import type { CapsuleOperations } from "../capsules/operations.ts";
import type { PlacedCapsule } from "../capsules/store.ts";
import type { SnapshotRow } from "../database/schema.ts";
import type { OwnedKey } from "../idempotency/owned-key.ts";
import type { Log } from "../log.ts";
import type { Metrics } from "../metrics/metrics.ts";
import { finishDelete } from "./delete.ts";
import type { SnapshotStore } from "./store.ts";
import { takeSnapshot } from "./take.ts";
import { baseTemplate, toWire } from "./wire.ts";

export interface SnapshotServiceParts extends CommandParts {
  snapshots: SnapshotStore;
  operations: CapsuleOperations;
  background: BackgroundTasks;
  metrics: Metrics;
}

export interface SnapshotCreation {
  teamId: string;
  body: CreateSnapshotBody;
  /** Whether one that has the name is replaced. */
  replace: boolean;
  /** The request's key: made again, the request finds the snapshot that it has made. */
  key: OwnedKey | undefined;
  logger: Log;
}

/** Snapshots of teams, by name, beside the templates that hosts have. Each team has its own names. */
export class SnapshotService {
  readonly #parts: SnapshotServiceParts;

  constructor(parts: SnapshotServiceParts) {
    this.#parts = parts;
  }

  /**
   * Takes a snapshot of a running or paused capsule, which goes on as it was. It is taken even if the caller has
   * gone.
   *
   * @throws {WrennError} `name_taken`; `not_found` or `invalid_state` for the capsule; or what its host said.
   */
  async create({ teamId, body, replace, key, logger }: SnapshotCreation): Promise<Template> {
    const { snapshots, store, operations, metrics } = this.#parts;
    let [id = newId("snapshot")] = (await key?.ids("snapshot", 1)) ?? [];
    const made = key?.again ? await snapshots.findById(id) : undefined;
    if (made?.state === "ready") return toWire(made);
    if (made?.state === "creating") throw key?.notYet();
    if (made) [id = newId("snapshot")] = (await key?.ids("snapshot", 1, true)) ?? [];
    const capsule = await store.find(teamId, body.sandbox_id);
    if (!capsule) throw noCapsule(body.sandbox_id);
    checkAllowed(capsule, "snapshot");
    if (capsule.host_silent) throw hostSilent(capsule);
    const name = body.name ?? `template-${randomBytes(4).toString("hex")}`;
    await this.#refuseBaseName(name);
    const taken = await metrics.operation("snapshot", () =>
      operations.run(capsule.id, async () => {
        const creating = await snapshots.insert({ ...newSnapshot(capsule), id, name }, replace);
        return takeSnapshot(creating, capsule, { snapshots, commands: this.#parts }, logger);
      }),
    );
    if (taken.replaced) this.#deleteLater(taken.replaced, logger);
    return toWire(taken.ready);
  }

  /** Templates of hosts that report, by name, and then the team's snapshots, newest first. */
  async list(teamId: string, type?: TemplateType): Promise<Template[]> {
    const { hosts, snapshots } = this.#parts;
    const bases = type === "snapshot" ? [] : await hosts.templates();
    const own = type === "base" ? [] : await snapshots.list(teamId);
    return [...bases.map(baseTemplate), ...own.map(toWire)];
  }

  /** @throws {WrennError} `not_found` */
  async get(teamId: string, name: string): Promise<Template> {
    const own = await this.#parts.snapshots.find(teamId, name);
    if (own) return toWire(own);
    if (await this.#isBase(name)) return baseTemplate(name);
    throw noTemplate(name);
  }

  /**
   * Deletes a snapshot. Capsules that were created from it live on. A host that cannot be reached lets go of it later.
   *
   * @param force also when there are such capsules.
   * @throws {WrennError} `template_in_use`, `not_found`, or `forbidden` for what is everybody's.
   */
  async delete(teamId: string, name: string, force: boolean, logger: Log): Promise<void> {
    const { snapshots } = this.#parts;
    const own = await snapshots.find(teamId, name);
    if (!own && (await this.#isBase(name))) {
      throw new WrennError("forbidden", `"${name}" is the platform's template; it cannot be deleted`);
    }
    const deleting = own && (await snapshots.commandDelete(own, force));
    if (!deleting) throw noTemplate(name);
    await this.#finishDelete(deleting, logger).catch((error: unknown) => {
      if (!(error instanceof WrennError)) throw error;
      const { code, message: reason } = error;
      logger.warn({ snapshot: deleting.id, code, reason }, "a deleted snapshot waits for its host");
    });
  }

  #deleteLater(deleting: SnapshotRow, logger: Log): void {
    this.#parts.background.start("delete a replaced snapshot", () => this.#finishDelete(deleting, logger));
  }

  #finishDelete(deleting: SnapshotRow, logger: Log): Promise<void> {
    const { snapshots: store, hosts, operations } = this.#parts;
    return operations.run(deleting.id, () => finishDelete(deleting, { store, hosts }, logger));
  }

  async #refuseBaseName(name: string): Promise<void> {
    if (!(await this.#isBase(name))) return;
    throw new WrennError("name_taken", `"${name}" is the name of a template of the platform`, {
      field: "name",
    });
  }

  async #isBase(name: string): Promise<boolean> {
    return (await this.#parts.hosts.templates()).includes(name);
  }
}

function newSnapshot(capsule: PlacedCapsule) {
  const { id: capsuleId, team_id: teamId, host_id: hostId, template, vcpus, memory_mib: memoryMib } = capsule;
  if (hostId === null) throw new WrennError("host_unavailable", "the capsule is on no host");
  return { teamId, hostId, capsuleId, template, vcpus, memoryMib, diskMib: capsule.disk_mib };
}

function hostSilent({ id, host_id: host }: PlacedCapsule): WrennError {
  return new WrennError(
    "host_unavailable",
    `host ${host} of capsule ${id} is silent; try again when it reports`,
  );
}

function noCapsule(id: string): WrennError {
  return new WrennError("not_found", `there is no capsule ${JSON.stringify(id)}`, { field: "sandbox_id" });
}

function noTemplate(name: string): WrennError {
  return new WrennError("not_found", `there is no template ${JSON.stringify(name)}`, { field: "name" });
}
