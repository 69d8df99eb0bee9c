import { mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "@wrenn/contracts";
import { makeLogger } from "@wrenn/daemon";
import { inject } from "vitest";
import { Admission, type Budget } from "../admission/admission.ts";
import { hostReadings } from "../admission/host-readings.ts";
import type { Capsule, CapsuleCommand, CapsuleRequest } from "../capsules/capsule.ts";
import { type OpenOptions, openCapsules } from "../capsules/open-capsules.ts";
import type { CapsuleService } from "../capsules/service.ts";
import { runInGuest } from "../guest/run-in-guest.ts";
import { Journal, type JournalObserver } from "../journal/journal.ts";
import { type Layout, layoutOf, makeDirectories } from "../layout.ts";
import { AgentMetrics } from "../metrics/metrics.ts";
import { ChangeLog } from "../reports/change-log.ts";
import { TemplateStore } from "../templates/template-store.ts";
import { SimulatedDriver } from "../vmm/simulated/simulated-driver.ts";
import { roomyBudget, roomyHost } from "./roomy-host.ts";

/** The capsules of a host whose machines are simulated: everything of an agent but its network and its ports. */
export class SimulatedHost implements AsyncDisposable {
  readonly layout: Layout;
  /** Told of each step that is journaled; a test puts its own here. */
  observe: JournalObserver = () => {};
  parts: OpenOptions;
  /** What the next life of the agent may take. */
  budget: Budget = roomyBudget;
  #life = new AsyncDisposableStack();
  #capsules: CapsuleService | undefined;

  private constructor(layout: Layout) {
    const logger = makeLogger("capsules", process.env.LOG_LEVEL ?? "silent");
    this.layout = layout;
    this.parts = {
      ...{ layout, logger, slots: undefined, signal: new AbortController().signal },
      vmm: new SimulatedDriver(inject("envdBinary")),
      journal: new Journal(layout.journal, logger, (...step) => this.observe(...step)),
      changes: new ChangeLog(1),
      metrics: new AgentMetrics(),
      templates: new TemplateStore(layout.images),
      ...roomyHost(layout.root),
    };
  }

  static async open(changes: Partial<OpenOptions> = {}): Promise<SimulatedHost> {
    const layout = layoutOf(await mkdtemp(join(tmpdir(), "wrenn-capsules-")));
    await makeDirectories(layout);
    for (const name of ["kernels", "images"]) {
      await symlink(join(inject("imagesDir"), name), join(layout.root, name));
    }
    const host = new SimulatedHost(layout);
    host.parts = { ...host.parts, ...changes };
    await host.start();
    return host;
  }

  get capsules(): CapsuleService {
    if (!this.#capsules) throw new Error("the agent is not started");
    return this.#capsules;
  }

  /** The agent starts, with what an earlier life of it left. */
  async start(): Promise<void> {
    this.#life = new AsyncDisposableStack();
    this.parts = { ...this.parts, changes: new ChangeLog(this.parts.changes.epoch + 1) };
    this.parts = { ...this.parts, admission: new Admission(this.budget, hostReadings(this.layout.root)) };
    this.#capsules = await openCapsules(this.parts, await this.parts.journal.load(), this.#life);
  }

  /** The agent ends. */
  async end(): Promise<void> {
    await this.#life.disposeAsync();
    this.#capsules = undefined;
  }

  async restart(): Promise<void> {
    await this.end();
    await this.start();
  }

  /** A command of the control plane's for a capsule: the next one, unless a generation is given. */
  command({ id, generation }: Capsule, changes: Partial<CapsuleCommand> = {}): CapsuleCommand {
    return { id, operation: newId("operation"), generation: generation + 1, ...changes };
  }

  /** Runs a line of shell where the files `memory` and `disk` of a capsule are, and answers what that prints. */
  async sh({ id, guest, record }: Capsule, line: string): Promise<string> {
    const there = `cd ${join(this.layout.machines, record.runDirName ?? id)} && ${line}`;
    return await runInGuest(guest, "sh", ["-c", there], this.parts.signal);
  }

  /** Everything of capsules that is on the disk, boot snapshots aside. */
  async leftovers(): Promise<string[]> {
    const { machines, journal, layers, snapshots } = this.layout;
    const boots = (await readdir(snapshots)).filter((name) => name.startsWith("boot-"));
    const names = await Promise.all([machines, journal, layers].map((dir) => readdir(dir)));
    const others = (await readdir(snapshots)).filter((name) => !name.startsWith("boot-"));
    // Each boot snapshot stands on a layer of its own.
    return [...names.flat().slice(0, boots.length > 0 ? -boots.length : undefined), ...others];
  }

  async [Symbol.asyncDispose](): Promise<void> {
    if (!this.#capsules) await this.start();
    await this.capsules.drain("destroy");
    await this.end();
    await rm(this.layout.root, { recursive: true, force: true });
  }
}

/** What a capsule is created with. */
export function capsuleRequest(changes: Partial<CapsuleRequest> = {}): CapsuleRequest {
  const size = { vcpus: 1, memoryMib: 256 };
  const [id, operation] = [newId("capsule"), newId("operation")];
  return { id, operation, generation: 1, template: "minimal", size, ...changes };
}
