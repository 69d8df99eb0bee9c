import { open, rm } from "node:fs/promises";
import { basename } from "node:path";
import { WrennError } from "@wrenn/contracts";
import { type Static, Type } from "typebox";
import type { Confiner, Place } from "../../confinement/confiner.ts";
import { makeEmptyLayer } from "../disk/qcow2.ts";
import { ask } from "./ask.ts";
import { diskNode, isBelowNode, writableFd } from "./disk-nodes.ts";
import type { QmpClient } from "./qmp-client.ts";
import { endStreams, streamLayers } from "./stream-layers.ts";

/** Nodes of the layers that a machine goes over to while it runs. A name is used once in a process. */
const layerName = /^layer-(\d+)$/;

const BlockDevices = Type.Array(
  Type.Object({
    inserted: Type.Optional(
      Type.Object({
        "node-name": Type.String(),
        image: Type.Object({ "virtual-size": Type.Integer() }),
      }),
    ),
  }),
);
const Nodes = Type.Array(
  Type.Object({ "node-name": Type.Optional(Type.String()), file: Type.String(), ro: Type.Boolean() }),
);
const FdSets = Type.Array(
  Type.Object({
    "fdset-id": Type.Integer(),
    fds: Type.Array(Type.Object({ fd: Type.Integer(), opaque: Type.Optional(Type.String()) })),
  }),
);

/** The node on top of a machine's disk, as QEMU tells it. */
interface TopNode {
  readonly name: string;
  readonly diskBytes: number;
}

/** A layer that a machine has open, and goes over to when it is told. */
export interface NextLayer extends AsyncDisposable {
  /** The present layer never changes again; the next one is the machine's. Only while the guest is stopped. */
  goOver(): Promise<void>;
}

/** The disk of one machine, through its monitor. */
export class MachineDisk {
  readonly #monitor: QmpClient;
  readonly #confiner: Confiner;
  readonly #place: Place;
  #layers: readonly string[];

  /** @param layers paths of the machine's own. */
  constructor(monitor: QmpClient, confiner: Confiner, place: Place, layers: readonly string[]) {
    this.#monitor = monitor;
    this.#confiner = confiner;
    this.#place = place;
    this.#layers = layers;
  }

  /** Paths of the machine's own layers; it writes the last. */
  get layers(): readonly string[] {
    return this.#layers;
  }

  /** Finds out which of the layers the machine writes, and has it let go of one that it never went over to. */
  async recognise(): Promise<void> {
    const { name } = await this.#top();
    const nodes = await this.#nodes();
    const file = basename(nodes.find((node) => node["node-name"] === fileOf(name))?.file ?? "");
    const top = name === diskNode ? 0 : this.#layers.findIndex((path) => basename(path) === file);
    if (top < 0) throw new WrennError("agent_error", `the machine writes ${file}, which is not known`);
    this.#layers = this.#layers.slice(0, top + 1);
    await endStreams(this.#monitor);
    for (const node of layersOf(nodes)) if (node !== name) await this.#remove(node);
    if (top > 0) await this.releaseFrozen();
  }

  /** Makes an empty layer on top of the disk at `path`, and lets the machine open it. Disposing of it removes it. */
  async addLayer(path: string): Promise<NextLayer> {
    await using undo = new AsyncDisposableStack();
    const top = await this.#top();
    const node = nextName(layersOf(await this.#nodes()));
    await makeEmptyLayer(path, top.diskBytes);
    undo.defer(() => rm(path, { force: true }));
    await this.#open(node, path);
    // Before whatever the monitor is told next; nobody waits for a QEMU that does not answer.
    undo.defer(() => void this.#remove(node));
    const owned = undo.move();
    const goOver = async () => {
      await this.#goOver(top, node, path);
      owned.move();
      await this.#checkFrozen(top);
    };
    return { goOver, [Symbol.asyncDispose]: () => owned.disposeAsync() };
  }

  /** Has the host write what the guest wrote. QEMU does that when it stops the guest, and then there is less to do. */
  async flush(): Promise<void> {
    await using layer = await open(this.#layers.at(-1) ?? "", "r");
    await layer.datasync();
  }

  /** Lets go of the descriptor with which QEMU could still write the layer that it was started with, once it runs. */
  async releaseFrozen(): Promise<void> {
    for (const { "fdset-id": set, fds } of await ask(this.#monitor, "query-fdsets", {}, FdSets)) {
      for (const { fd, opaque } of fds) {
        if (opaque === writableFd) await this.#monitor.execute("remove-fd", { "fdset-id": set, fd });
      }
    }
  }

  /** Copies what the machine's other own layers hold into the one that it writes, and lets go of them. */
  async shorten(signal: AbortSignal): Promise<void> {
    const { name } = await this.#top();
    if (name === diskNode) return;
    const nodes = (await this.#nodes()).flatMap(({ "node-name": node }) => node ?? []);
    await streamLayers(this.#monitor, name, nodes.filter(isBelowNode).length, signal);
    this.#layers = this.#layers.slice(-1);
    for (const node of nodes) if (node === diskNode || layerName.test(node)) await this.#remove(node);
  }

  /** Gives the disk a new size, and tells the guest's kernel. */
  async grow(bytes: number): Promise<void> {
    const { name, diskBytes } = await this.#top();
    if (bytes < diskBytes) {
      throw new WrennError(
        "invalid_request",
        `the disk has ${diskBytes} bytes and cannot shrink to ${bytes}`,
      );
    }
    if (bytes > diskBytes) await this.#monitor.execute("block_resize", { "node-name": name, size: bytes });
  }

  async #open(node: string, path: string): Promise<void> {
    await using handed = await this.#confiner.handOver(path, this.#place, "write");
    const file = { driver: "file", "node-name": fileOf(node), filename: handed.path };
    const options = { driver: "qcow2", "read-only": false, discard: "unmap", file, backing: null };
    await this.#monitor.execute("blockdev-add", { "node-name": node, ...options });
  }

  /** One that something stands on is in use, and stays. */
  async #remove(node: string): Promise<void> {
    await this.#monitor.execute("blockdev-del", { "node-name": node }).catch(() => {});
  }

  async #goOver(from: TopNode, node: string, path: string): Promise<void> {
    // QEMU opens the layer below anew, for reading, by the name that it knows: as a descriptor, or handed over again.
    const byName = from.name !== diskNode;
    const below = this.#layers.at(-1) ?? "";
    await using _ = byName ? await this.#confiner.handOver(below, this.#place, "read") : undefined;
    await this.#monitor.execute("blockdev-snapshot", { node: from.name, overlay: node });
    this.#layers = [...this.#layers, path];
  }

  /** QEMU does not say when it fails to open a layer anew: it keeps it as it was, and no clone could open it. */
  async #checkFrozen({ name }: TopNode): Promise<void> {
    const nodes = await this.#nodes();
    if (nodes.find((node) => node["node-name"] === name)?.ro === true) return;
    throw new WrennError("agent_error", `QEMU still writes the layer ${name}, which was to be frozen`);
  }

  async #top(): Promise<TopNode> {
    const devices = await ask(this.#monitor, "query-block", {}, BlockDevices);
    const inserted = devices.find((device) => device.inserted)?.inserted;
    if (!inserted) throw new WrennError("agent_error", "the machine has no disk");
    return { name: inserted["node-name"], diskBytes: inserted.image["virtual-size"] };
  }

  async #nodes(): Promise<Static<typeof Nodes>> {
    return await ask(this.#monitor, "query-named-block-nodes", { flat: true }, Nodes);
  }
}

/** Node of a layer's file. */
function fileOf(node: string): string {
  return `${node}-file`;
}

function layersOf(nodes: Static<typeof Nodes>): string[] {
  return nodes.flatMap(({ "node-name": name }) => (name !== undefined && layerName.test(name) ? [name] : []));
}

/** A name for one more node, after all that there are. */
function nextName(names: readonly string[]): string {
  const numbers = names.map((name) => Number(layerName.exec(name)?.[1]));
  return `layer-${Math.max(0, ...numbers) + 1}`;
}
