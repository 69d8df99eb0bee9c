import { WrennError } from "@wrenn/contracts";
import type { DescribeHostResponse } from "@wrenn/contracts/host";
import type { AgentClient } from "./agent-client.ts";

const describeTimeoutMs = 5_000;

/** A host: its row's id, and the way to its agent. */
export class Host implements Disposable {
  readonly id: string;
  readonly agent: AgentClient;
  #description: DescribeHostResponse | undefined;

  constructor(id: string, agent: AgentClient) {
    this.id = id;
    this.agent = agent;
  }

  /** What the agent says of itself; asked once per life of the agent. */
  async describe(): Promise<DescribeHostResponse> {
    this.#description ??= await this.agent.call((client) =>
      client.describeHost({}, { timeoutMs: describeTimeoutMs }),
    );
    return this.#description;
  }

  /** Told the epoch of a report: after a restart the agent may be another version with other templates. */
  noteEpoch(epoch: string): void {
    if (this.#description?.epoch !== epoch) this.#description = undefined;
  }

  /** Whether the host has the template. Before it says no, it asks again: one may be new. */
  async hasTemplate(name: string): Promise<boolean> {
    if ((await this.describe()).templates.includes(name)) return true;
    this.#description = undefined;
    return (await this.describe()).templates.includes(name);
  }

  [Symbol.dispose](): void {
    this.agent[Symbol.dispose]();
  }
}

/** The hosts that capsules can be on. There is one, for now. */
export class Hosts implements Disposable {
  readonly #hosts: ReadonlyMap<string, Host>;

  constructor(hosts: Host[]) {
    this.#hosts = new Map(hosts.map((host) => [host.id, host]));
  }

  all(): Host[] {
    return [...this.#hosts.values()];
  }

  /** The host for a new capsule. */
  pick(): Host {
    const [host] = this.all();
    if (!host) throw new WrennError("host_unavailable", "there is no host; start an agent");
    return host;
  }

  get(id: string | null): Host {
    const host = id === null ? undefined : this.#hosts.get(id);
    if (!host) throw new WrennError("host_unavailable", `host ${id} is not known to this control plane`);
    return host;
  }

  [Symbol.dispose](): void {
    for (const host of this.all()) host[Symbol.dispose]();
  }
}
