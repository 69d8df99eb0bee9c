import { setTimeout as sleep } from "node:timers/promises";
import { type CapsuleState, type ErrorCode, toConnectError, WrennError } from "@wrenn/contracts";
import type { CreateCapsuleRequest } from "@wrenn/contracts/host";
import type { ReportedCapsule } from "@wrenn/contracts/rest";
import type { Answers } from "./foreign-agent.ts";

/** What a host keeps of a capsule that consists of its state alone. */
interface Kept {
  id: string;
  state: CapsuleState;
  reason?: string;
  generation: bigint;
  revision: bigint;
}

interface Request {
  capsuleId: string;
  generation: bigint;
}

/**
 * The answers of a host whose capsules are states: it does what the protocol says of generations, one command at a
 * time for each capsule, and takes its time.
 */
export class LifecycleHost {
  readonly capsules = new Map<string, Kept>();
  /** Snapshots, by id, and what they were taken of. */
  readonly snapshots = new Map<string, string>();
  /** Every create that was asked for. */
  readonly creates: CreateCapsuleRequest[] = [];
  /** Every command that was carried out, in order: `pause 2`. */
  readonly done: string[] = [];
  /** Ms that a command takes. */
  delayMs = 0;
  /** What every command waits for. */
  gate: Promise<void> = Promise.resolve();
  /** What the next command of a kind fails with, before anything is done. */
  readonly refusals = new Map<string, ErrorCode>();
  /** How often it was asked what it has. */
  asked = 0;
  /** How often a guest was reached, and with how many bytes. */
  reached = 0;
  readonly #underWay = new Map<string, Promise<unknown>>();

  readonly answers: Answers = {
    createCapsule: async (request) => {
      this.creates.push(request);
      const { snapshotId } = request;
      if (snapshotId !== undefined && !this.snapshots.has(snapshotId)) throw refusal("not_found");
      const kept: Kept = { id: request.capsuleId, state: "starting", generation: 1n, revision: 0n };
      this.capsules.set(kept.id, { ...kept, generation: request.generation });
      return { capsule: await this.#command("create", request, ["starting"], "running") };
    },
    pauseCapsule: async (request) => ({
      capsule: await this.#command("pause", request, ["running"], "paused"),
    }),
    resumeCapsule: async (request) => ({
      capsule: await this.#command(
        request.fromDisk ? "boot" : "resume",
        request,
        request.fromDisk ? ["paused", "hibernated", "error"] : ["paused", "hibernated"],
        "running",
      ),
    }),
    hibernateCapsule: async (request) => ({
      capsule: await this.#command("hibernate", request, ["paused"], "hibernated"),
    }),
    snapshotCapsule: async (request) => {
      const capsule = await this.#command("snapshot", request, ["running", "paused"], undefined);
      this.snapshots.set(request.snapshotId, capsule.id);
      return {
        capsule,
        snapshot: { id: request.snapshotId, template: "minimal", sizeBytes: 4096n, diskMib: 64 },
      };
    },
    listSnapshots: () => ({ snapshots: [...this.snapshots].map(([id, capsuleId]) => ({ id, capsuleId })) }),
    deleteSnapshot: ({ snapshotId }) => {
      const refused = this.refusals.get("delete");
      if (refused) throw refusal(refused);
      this.snapshots.delete(snapshotId);
      return {};
    },
    forkCapsule: async (request) => {
      const capsule = await this.#command("fork", request, ["running", "paused"], undefined);
      const children = request.children.map((child): Kept => {
        const kept: Kept = {
          id: child.capsuleId,
          state: "running",
          generation: child.generation,
          revision: 1n,
        };
        this.capsules.set(kept.id, kept);
        return kept;
      });
      return { capsule, children };
    },
    destroyCapsule: async ({ capsuleId }) => {
      await this.#underWay.get(capsuleId)?.catch(() => {});
      this.done.push("destroy");
      this.capsules.delete(capsuleId);
      return {};
    },
    listCapsules: () => {
      this.asked += 1;
      return { capsules: [...this.capsules.values()] };
    },
    touchCapsule: ({ capsuleId }) => {
      this.#running(capsuleId);
      return {};
    },
    listDirectory: ({ capsuleId }) => {
      this.#running(capsuleId);
      this.reached += 1;
      return { entries: [] };
    },
    writeFile: async (parts) => {
      for await (const { part } of parts) {
        if (part.case === "target") this.#running(part.value.capsuleId);
        else if (part.case === "chunk") this.reached += part.value.length;
      }
      return { path: "/written" };
    },
  };

  /** A capsule as the host's report has it. */
  reported(id: string): Partial<ReportedCapsule> {
    const kept = this.#kept(id);
    return {
      id,
      state: kept.state,
      generation: Number(kept.generation),
      revision: Number(kept.revision),
      ...(kept.reason !== undefined && { reason: kept.reason }),
    };
  }

  /** A change that the host makes by itself. */
  change(id: string, state: CapsuleState, reason?: string): void {
    const { generation, revision } = this.#kept(id);
    const changed = { id, state, generation, revision: revision + 1n };
    this.capsules.set(id, reason === undefined ? changed : { ...changed, reason });
  }

  async #command(
    kind: string,
    request: Request,
    from: CapsuleState[],
    to: CapsuleState | undefined,
  ): Promise<Kept> {
    const before = this.#underWay.get(request.capsuleId);
    const running = (before?.catch(() => {}) ?? Promise.resolve()).then(() =>
      this.#run(kind, request, from, to),
    );
    this.#underWay.set(request.capsuleId, running);
    return running;
  }

  async #run(
    kind: string,
    request: Request,
    from: CapsuleState[],
    to: CapsuleState | undefined,
  ): Promise<Kept> {
    const kept = this.#kept(request.capsuleId);
    if (request.generation < kept.generation) throw refusal("conflict");
    const refused = this.refusals.get(kind);
    if (refused) throw refusal(refused);
    const revision = kept.revision + 1n;
    const goal = to ?? kept.state;
    if (kept.state !== goal && !from.includes(kept.state)) throw refusal("invalid_state");
    await this.gate;
    if (this.delayMs > 0) await sleep(this.delayMs);
    const now: Kept = { id: kept.id, state: goal, generation: request.generation, revision };
    if (!this.capsules.has(kept.id)) throw refusal("not_found");
    this.capsules.set(kept.id, now);
    this.done.push(`${kind} ${request.generation}`);
    return now;
  }

  #running(id: string): void {
    if (this.#kept(id).state !== "running") throw refusal("invalid_state");
  }

  #kept(id: string): Kept {
    const kept = this.capsules.get(id);
    if (!kept) throw refusal("not_found");
    return kept;
  }
}

function refusal(code: ErrorCode): Error {
  return toConnectError(new WrennError(code, `refused: ${code}`, { field: "id" }));
}
