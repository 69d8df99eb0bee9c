import { WrennError } from "@wrenn/contracts";
import type { Kysely } from "kysely";
import type { Authority } from "../authority/authority.ts";
import type { BackgroundTasks } from "../background-tasks.ts";
import type { HostRow, Schema } from "../database/schema.ts";
import { AgentClient } from "./agent-client.ts";
import { Host } from "./host.ts";
import { doubtAddress, findHost, findHostsForCapsule, listHosts, wantFullReport } from "./store.ts";
import { addressProblem } from "./verify.ts";

/** What is needed to reach a host. */
export type HostPlace = Pick<HostRow, "id" | "address" | "report_epoch">;

/** A capsule, by where it is. */
export interface PlacedOnHost {
  host_id: string | null;
  host_address: string | null;
  host_epoch: bigint | null;
}

/**
 * The ways to all hosts. Which there are, and where, is in the database, so that any replica finds a new one at once;
 * a way that is open is kept for as long as it leads there.
 */
export class Hosts implements Disposable {
  readonly #db: Kysely<Schema>;
  readonly #authority: Authority;
  readonly #background: BackgroundTasks;
  readonly #open = new Map<string, Host>();

  constructor(db: Kysely<Schema>, authority: Authority, background: BackgroundTasks) {
    this.#db = db;
    this.#authority = authority;
    this.#background = background;
  }

  /** Hosts that may take a new capsule, the best first. @throws {WrennError} `host_unavailable` when there is none. */
  async candidates(): Promise<Host[]> {
    const rows = await findHostsForCapsule(this.#db);
    if (rows.length > 0) return rows.map((row) => this.at(row));
    const sentence =
      "there is no host that takes capsules; start an agent, or see GET /v1/hosts for what is wrong";
    throw new WrennError("host_unavailable", sentence);
  }

  /** Names of the templates of hosts that report and answer, in order. */
  async templates(): Promise<string[]> {
    const rows = (await listHosts(this.#db)).filter((row) => !row.silent && row.address_verified);
    const ask = async (row: HostPlace): Promise<string[]> => this.at(row).templates();
    const lists = await Promise.all(rows.map((row) => ask(row).catch(() => [])));
    return [...new Set(lists.flat())].sort();
  }

  /** @throws {WrennError} `host_unavailable` */
  async get(id: string | null): Promise<Host> {
    const row = id === null ? undefined : await findHost(this.#db, id);
    if (!row) throw new WrennError("host_unavailable", `host ${id} is not known any more`);
    return this.at(row);
  }

  /** The way to the host of a capsule whose row was read just now. @throws {WrennError} `host_unavailable` */
  of(capsule: PlacedOnHost): Host {
    const { host_id: id, host_address: address, host_epoch: epoch } = capsule;
    if (id === null) throw new WrennError("host_unavailable", "the capsule is on no host");
    return this.at({ id, address, report_epoch: epoch });
  }

  /** The way to a host whose row was read just now. @throws {WrennError} `host_unavailable` */
  at(place: HostPlace): Host {
    const { id, address } = place;
    if (address === null) throw new WrennError("host_unavailable", `host ${id} has not registered yet`);
    const known = this.#open.get(id);
    if (known?.agent.address === address) {
      known.noteEpoch(place.report_epoch);
      return known;
    }
    this.forget(id);
    const host = new Host(id, new AgentClient(id, address, this.#authority), place.report_epoch);
    this.#open.set(id, host);
    return host;
  }

  /**
   * Told that a call did not come back: what it did on the host, its next full report says. If it does not answer
   * now either, it gets no capsules until it has answered again.
   */
  doubt(host: Host): void {
    this.#background.start("doubt a host", async () => {
      await wantFullReport(this.#db, host.id);
      if (await addressProblem(host)) await doubtAddress(this.#db, host.id);
    });
  }

  /** Told that a host may have what our rows do not say: its next report has to be a full one. */
  async wantFullReport(id: string): Promise<void> {
    await wantFullReport(this.#db, id);
  }

  /** Ends the way to a host that has moved or is gone. */
  forget(id: string): void {
    this.#open.get(id)?.agent.abandon();
    this.#open.delete(id);
  }

  [Symbol.dispose](): void {
    for (const host of this.#open.values()) host[Symbol.dispose]();
  }
}
