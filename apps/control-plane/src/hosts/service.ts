import { isId, WrennError } from "@wrenn/contracts";
import type { Host as HostOnWire, HostWithToken } from "@wrenn/contracts/rest";
import type { Kysely } from "kysely";
import type { Authority } from "../authority/authority.ts";
import type { Schema } from "../database/schema.ts";
import type { Hosts } from "./hosts.ts";
import { abandonHost, type InTheWay, removeHost } from "./removal.ts";
import { findHost, insertHost, type KnownHost, listHosts, replaceRegistrationToken } from "./store.ts";
import { newRegistrationToken, tokenHash } from "./tokens.ts";
import { toWire } from "./wire.ts";

/** Hosts as their operators manage them. */
export class HostService {
  readonly #db: Kysely<Schema>;
  readonly #authority: Authority;
  readonly #hosts: Hosts;

  constructor(db: Kysely<Schema>, authority: Authority, hosts: Hosts) {
    this.#db = db;
    this.#authority = authority;
    this.#hosts = hosts;
  }

  /** Makes the record of a host, and the token that an agent becomes it with. */
  async create(type: "regular"): Promise<HostWithToken> {
    return this.#withToken(await insertHost(this.#db, type));
  }

  async list(): Promise<HostOnWire[]> {
    return (await listHosts(this.#db)).map(toWire);
  }

  /** @throws {WrennError} `not_found` */
  async get(id: string): Promise<HostOnWire> {
    return toWire(await this.#find(id));
  }

  /** Issues a token; those before it that were not used are worth nothing any more. */
  async issueToken(id: string): Promise<HostWithToken> {
    return this.#withToken(await this.#find(id));
  }

  /**
   * Removes a host.
   *
   * @param force also one with capsules and snapshots, which end with it; for a host that does not report any more.
   * @throws {WrennError} `conflict` while something is on it, or, by force, while it reports.
   */
  async remove(id: string, force: boolean): Promise<void> {
    const { silent } = await this.#find(id);
    const inTheWay = await removeHost(this.#db, id);
    if (inTheWay && !force) throw new WrennError("conflict", `host ${id} has ${wordsOf(inTheWay)}`);
    if (inTheWay && !silent) {
      const sentence = `host ${id} reports; force is for hosts that do not. It has ${wordsOf(inTheWay)}`;
      throw new WrennError("conflict", sentence, { field: "force" });
    }
    if (inTheWay) await abandonHost(this.#db, id);
    this.#hosts.forget(id);
  }

  async #withToken(row: KnownHost): Promise<HostWithToken> {
    const token = newRegistrationToken(row.id, this.#authority.fingerprint);
    await replaceRegistrationToken(this.#db, row.id, tokenHash(token));
    return { host: toWire(row), registration_token: token };
  }

  async #find(id: string): Promise<KnownHost> {
    const row = isId("host", id) ? await findHost(this.#db, id) : undefined;
    if (!row) throw new WrennError("not_found", `there is no host ${JSON.stringify(id)}`, { field: "id" });
    return row;
  }
}

function wordsOf({ capsules, snapshots }: InTheWay): string {
  const count = (number: number, one: string): string => `${number} ${number === 1 ? one : `${one}s`}`;
  const words = [capsules > 0 && count(capsules, "capsule"), snapshots > 0 && count(snapshots, "snapshot")];
  return `${words.filter(Boolean).join(" and ")}; destroy what is on it first`;
}
