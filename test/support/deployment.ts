import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { closeSync, openSync } from "node:fs";
import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { HostWithToken } from "@wrenn/contracts/rest";
import { isReadyMessage, makeLogger } from "@wrenn/daemon";
import { type EmbeddedPostgres, startEmbeddedPostgres } from "@wrenn/postgres";
import { Api } from "./api.ts";
import { slotsOf } from "./leftovers.ts";
import { makeWrennDir, platformEnvironment, repository } from "./platform-process.ts";

const programs = {
  controlPlane: "apps/control-plane/src/main.ts",
  agent: "apps/host-agent/src/testing/faulty-main.ts",
} as const;

/** One daemon, as a process that can be killed. */
interface Daemon {
  readonly process: ChildProcess;
  readonly exited: Promise<unknown>;
  readonly url: string;
}

/**
 * PostgreSQL, control plane and agent without a supervisor: each is started, killed and started again by the test, at
 * the same address. The agent registers the first time it is started.
 */
export class Deployment {
  readonly wrennDir: string;
  readonly #ports = { controlPlane: "0", agent: "0" };
  #postgres: EmbeddedPostgres | undefined;
  #controlPlane: Daemon | undefined;
  #agent: Daemon | undefined;
  #apiKey = "";

  private constructor(wrennDir: string) {
    this.wrennDir = wrennDir;
  }

  /** Everything started once. It all ends with the stack, capsules included. */
  static async start(stack: AsyncDisposableStack): Promise<Deployment> {
    const wrennDir = await makeWrennDir(stack);
    await mkdir(join(wrennDir, "logs"));
    const deployment = new Deployment(wrennDir);
    stack.defer(() => deployment.#end());
    await deployment.startPostgres();
    await deployment.startControlPlane();
    const owner = JSON.parse(await readFile(join(wrennDir, "owner.json"), "utf8"));
    deployment.#apiKey = owner.api_key;
    const response = await deployment.api.call("POST", "/v1/hosts", { type: "regular" });
    const { registration_token } = (await response.json()) as HostWithToken;
    await deployment.startAgent({ WRENN_REGISTRATION_TOKEN: registration_token });
    return deployment;
  }

  get api(): Api {
    const url = this.#controlPlane?.url ?? "";
    return new Api({ url, apiKey: this.#apiKey, wrennDir: this.wrennDir });
  }

  /** Connection string of the database. */
  get databaseUrl(): string {
    return this.#postgres?.databaseUrl ?? "";
  }

  async startPostgres(): Promise<void> {
    const logger = makeLogger("deployment", "silent");
    this.#postgres = await startEmbeddedPostgres({ dir: join(this.wrennDir, "postgres"), logger });
  }

  async startControlPlane(): Promise<void> {
    this.#controlPlane = await this.#launch("controlPlane", {
      DATABASE_URL: this.#postgres?.databaseUrl,
      WRENN_CP_LISTEN_ADDR: `127.0.0.1:${this.#ports.controlPlane}`,
    });
    this.#ports.controlPlane = new URL(this.#controlPlane.url).port;
  }

  /** Starts the agent and waits until the control plane knows it. */
  async startAgent(env: NodeJS.ProcessEnv = {}): Promise<void> {
    this.#agent = await this.#launch("agent", {
      WRENN_CP_URL: this.#controlPlane?.url,
      WRENN_HOST_LISTEN_ADDR: `127.0.0.1:${this.#ports.agent}`,
      ...env,
    });
    this.#ports.agent = new URL(this.#agent.url).port;
  }

  /** The agent that serves ends where this fault is. */
  async armAgent(fault: string): Promise<void> {
    const agent = this.#agent?.process;
    if (!agent) throw new Error("there is no agent");
    const armed = once(agent, "message");
    agent.send({ fault });
    expectArmed(await armed, fault);
  }

  /** Resolves when the agent has ended, which a fault makes it do. */
  async agentEnded(): Promise<void> {
    await this.#agent?.exited;
  }

  async killAgent(signal: NodeJS.Signals = "SIGKILL"): Promise<void> {
    this.#agent?.process.kill(signal);
    await this.#agent?.exited;
  }

  async killControlPlane(): Promise<void> {
    this.#controlPlane?.process.kill("SIGKILL");
    await this.#controlPlane?.exited;
  }

  async killPostgres(): Promise<void> {
    process.kill(this.#postgres?.pid ?? 0, "SIGKILL");
    await this.#postgres?.exited;
    await this.#postgres?.stop();
  }

  async #launch(name: keyof typeof programs, env: NodeJS.ProcessEnv): Promise<Daemon> {
    const log = openSync(join(this.wrennDir, "logs", `${name}.log`), "a");
    const child = spawn(process.execPath, [join(repository, programs[name])], {
      cwd: this.wrennDir,
      detached: true,
      env: { ...platformEnvironment(this.wrennDir), LOG_LEVEL: "info", ...env },
      stdio: ["ignore", log, log, "ipc"],
    });
    closeSync(log);
    const exited = once(child, "exit");
    const gone = exited.then(async ([code, signal]) => {
      const text = await readFile(join(this.wrennDir, "logs", `${name}.log`), "utf8");
      throw new Error(`${name} ended with ${code ?? signal} before it served:\n${text.slice(-2000)}`);
    });
    const url = await Promise.race([readyUrl(child), gone]);
    gone.catch(() => {});
    return { process: child, exited, url };
  }

  /** The agent ends its capsules; the others just end. */
  async #end(): Promise<void> {
    const agent = this.#agent?.process;
    if (agent?.connected) agent.send({ drain: "destroy" });
    await this.#agent?.exited;
    this.#controlPlane?.process.kill("SIGTERM");
    await this.#controlPlane?.exited;
    await this.#postgres?.stop();
    const left = await slotsOf(this.wrennDir);
    if (left.length > 0) {
      const log = await readFile(join(this.wrennDir, "logs", "agent.log"), "utf8");
      throw new Error(`the agent left ${left.join(", ")} behind:\n${log.slice(-4000)}`);
    }
  }
}

function expectArmed([message]: unknown[], fault: string): void {
  const isArmed = typeof message === "object" && message !== null && "armed" in message;
  if (!isArmed || message.armed !== fault) throw new Error(`the agent does not know the fault ${fault}`);
}

async function readyUrl(child: ChildProcess): Promise<string> {
  for (;;) {
    const [message] = (await once(child, "message")) as [unknown];
    if (isReadyMessage(message)) return message.url;
  }
}
