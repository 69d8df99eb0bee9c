import type { DescribeHostResponse } from "@wrenn/contracts/host";
import type { AgentClient } from "./agent-client.ts";

const describeTimeoutMs = 5_000;
/** How long a list of templates is good for: more may be made at any time. */
const templatesForMs = 10_000;

/** A host: its row's id, and the way to its agent. */
export class Host implements Disposable {
  readonly id: string;
  readonly agent: AgentClient;
  #epoch: bigint | null;
  #description: DescribeHostResponse | undefined;
  #describedAt = 0;

  constructor(id: string, agent: AgentClient, epoch: bigint | null) {
    this.id = id;
    this.agent = agent;
    this.#epoch = epoch;
  }

  /** What the agent says of itself; asked once per life of the agent. */
  async describe(): Promise<DescribeHostResponse> {
    this.#description ??= await this.#ask();
    return this.#description;
  }

  /** Templates that the host has: at most a few seconds ago. */
  async templates(): Promise<string[]> {
    if (performance.now() - this.#describedAt > templatesForMs) this.#description = undefined;
    return (await this.describe()).templates;
  }

  /** Told the agent's epoch: after a restart it may be another version with other templates. */
  noteEpoch(epoch: bigint | null): void {
    if (this.#epoch !== epoch) this.#description = undefined;
    this.#epoch = epoch;
  }

  /** Whether the host has the template. Before it says no, it asks again: one may be new. */
  async hasTemplate(name: string): Promise<boolean> {
    if ((await this.describe()).templates.includes(name)) return true;
    this.#description = undefined;
    return (await this.describe()).templates.includes(name);
  }

  async #ask(): Promise<DescribeHostResponse> {
    const askedAt = performance.now();
    const description = await this.agent.call((client) =>
      client.describeHost({}, { timeoutMs: describeTimeoutMs }),
    );
    this.#describedAt = askedAt;
    return description;
  }

  [Symbol.dispose](): void {
    this.agent[Symbol.dispose]();
  }
}
