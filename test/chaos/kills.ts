import { setTimeout as sleep } from "node:timers/promises";
import type { Deployment } from "../support/deployment.ts";
import { machinePid } from "../support/machines.ts";
import type { Client } from "./client.ts";
import type { Disturbances } from "./disturbances.ts";
import type { KillKind, PlannedKill } from "./schedule.ts";

/** Kills parts of a deployment, and starts them again. One at a time. */
export class Killer {
  readonly #deployment: Deployment;
  readonly #client: Client;
  readonly #disturbances: Disturbances;
  /** Ends when the agent that was started last has ended where its fault is, and the next one serves. */
  #faulty: { readonly restarted: Promise<void>; readonly over: () => void } | undefined;

  constructor(deployment: Deployment, client: Client, disturbances: Disturbances) {
    this.#deployment = deployment;
    this.#client = client;
    this.#disturbances = disturbances;
  }

  async kill(planned: PlannedKill): Promise<void> {
    const over = this.#disturbances.begin();
    this.#client.model.note(`KILL ${planned.kind} ${planned.kind === "agentAtStep" ? planned.fault : ""}`);
    try {
      await this.#kinds[planned.kind](planned);
    } finally {
      over();
    }
  }

  /** Everything serves, and no fault waits to happen. */
  async allServe(): Promise<void> {
    if (this.#faulty) await this.#replaceAgent();
  }

  readonly #kinds: Record<KillKind, (planned: PlannedKill) => Promise<void>> = {
    agent: ({ awayMs }) => this.#replaceAgent(awayMs),
    agentAtStep: ({ awayMs, fault }) => this.#replaceAgent(awayMs, fault),
    controlPlane: async ({ awayMs }) => {
      await this.#deployment.killControlPlane();
      await sleep(awayMs);
      await this.#deployment.startControlPlane();
    },
    postgres: async ({ awayMs }) => {
      await this.#deployment.killPostgres();
      await sleep(awayMs);
      await this.#deployment.startPostgres();
    },
    controlPlaneAndAgent: async ({ awayMs }) => {
      await this.#deployment.killControlPlane();
      await this.#replaceAgent(awayMs);
      await this.#deployment.startControlPlane();
    },
    machine: ({ target }) => this.#killMachine(target),
    guestAgent: ({ target }) => this.#killGuestAgent(target),
  };

  /** Kills the agent, if it has not met its fault yet, and starts the next one. */
  async #replaceAgent(awayMs = 0, fault?: string): Promise<void> {
    const faulty = this.#faulty;
    this.#faulty = undefined;
    faulty?.over();
    await this.#deployment.killAgent();
    if (faulty) {
      // It may have met its fault before this, and the next one have been started.
      await faulty.restarted;
      await this.#deployment.killAgent();
    }
    await sleep(awayMs);
    await this.#startAgent(fault);
  }

  async #startAgent(fault?: string): Promise<void> {
    if (fault === undefined) return await this.#deployment.startAgent();
    try {
      await this.#deployment.startAgent({ WRENN_TEST_FAULT: fault });
    } catch (error) {
      // It may have met its fault while it started: then it recovered something.
      if (!String(error).includes("SIGKILL")) throw error;
      return await this.#deployment.startAgent();
    }
    let replaced = false;
    const over = this.#disturbances.begin();
    const restarted = this.#deployment.agentEnded().then(async () => {
      if (replaced) return;
      this.#client.model.note(`the agent met ${fault}`);
      await this.#deployment.startAgent();
      // Not before: who kills the agent meanwhile has to wait for this one.
      if (!replaced) this.#faulty = undefined;
    });
    restarted.then(over, over);
    this.#faulty = {
      restarted,
      over: () => {
        replaced = true;
      },
    };
  }

  async #killMachine(target: number): Promise<void> {
    const running = this.#client.model.live().filter((capsule) => capsule.may("running"));
    const capsule = running[Math.floor(target * running.length)];
    if (!capsule) return;
    const pid = await machinePid(this.#deployment.wrennDir, capsule.id);
    if (pid === undefined) return;
    capsule.machineKilled = true;
    capsule.states.add("error");
    this.#client.model.note(`killing the machine of ${capsule.id}, ${pid}`);
    process.kill(pid, "SIGKILL");
  }

  /** The guest agent is the parent of what it runs. Its processes live on, and the next one is there at once. */
  async #killGuestAgent(target: number): Promise<void> {
    const running = this.#client.model.live().filter((capsule) => capsule.surely("running"));
    const capsule = running[Math.floor(target * running.length)];
    if (!capsule) return;
    this.#client.model.note(`killing the guest agent of ${capsule.id}`);
    const body = { cmd: "/bin/sh", args: ["-c", "kill -KILL $PPID"], user: "root" };
    const path = `/v1/capsules/${capsule.id}/exec`;
    // What it answers is that it cannot answer.
    await this.#client.ask({ name: "kill", method: "POST", path, body, success: 200, legal: false });
  }
}
