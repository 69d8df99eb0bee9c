import { createInterface } from "node:readline";
import type { Duplex } from "node:stream";
import { WrennError } from "@wrenn/contracts";

interface QmpMessage {
  readonly id?: number;
  readonly return?: unknown;
  readonly error?: { class: string; desc: string };
  readonly event?: string;
  readonly data?: Record<string, unknown>;
}

interface Pending {
  resolve(value: unknown): void;
  reject(error: Error): void;
}

type EventListener = (data: Record<string, unknown>) => void;

/** Answers longer than this are not QMP's. */
const maxLineBytes = 1024 * 1024;

/**
 * A QEMU monitor connection: JSON lines, commands answered by id, events in between.
 * Protocol: https://www.qemu.org/docs/master/interop/qmp-spec.html
 */
export class QmpClient {
  /** Resolves when the connection has ended, for whatever reason. */
  readonly closed: Promise<void>;
  readonly #socket: Duplex;
  readonly #pending = new Map<number, Pending>();
  readonly #listeners = new Map<string, Set<EventListener>>();
  #nextId = 1;
  #closed: Error | undefined;

  private constructor(socket: Duplex) {
    this.#socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", () => resolve()));
    const lines = createInterface({ input: socket });
    lines.on("line", (line) => this.#receive(line));
    // The interface passes the socket's error on, and its `error` event must have a listener too.
    lines.on("error", (error) => this.#close(error));
    socket.on("error", (error) => this.#close(error));
    socket.on("close", () => this.#close(new Error("the monitor connection is closed")));
  }

  /** Takes over a connected socket. Commands may follow at once: QEMU gets to them when it has started. */
  static begin(socket: Duplex): { client: QmpClient; negotiated: Promise<void> } {
    const client = new QmpClient(socket);
    const negotiated = client.execute("qmp_capabilities").then(() => {});
    return { client, negotiated };
  }

  /** Takes over a connected socket and negotiates capabilities. */
  static async open(socket: Duplex): Promise<QmpClient> {
    const { client, negotiated } = QmpClient.begin(socket);
    await negotiated;
    return client;
  }

  /** Runs one command. Rejects with QEMU's reason, or when the connection ends first. */
  execute(command: string, args?: Record<string, unknown>): Promise<unknown> {
    if (this.#closed) return Promise.reject(this.#closed);
    const id = this.#nextId++;
    const { promise, resolve, reject } = Promise.withResolvers<unknown>();
    this.#pending.set(id, { resolve, reject });
    this.#socket.write(`${JSON.stringify({ execute: command, arguments: args, id })}\n`);
    return promise;
  }

  /** Calls the listener for every event of that name until the returned function is called. */
  on(event: string, listener: EventListener): () => void {
    const listeners = this.#listeners.get(event) ?? new Set();
    this.#listeners.set(event, listeners.add(listener));
    return () => listeners.delete(listener);
  }

  /** Closes the connection; commands under way are rejected. */
  close(): void {
    this.#socket.destroy();
  }

  #receive(line: string): void {
    const message = parse(line);
    if (!message) {
      this.#socket.destroy(new Error("the monitor sent something that is not QMP"));
      return;
    }
    if (message.event) {
      for (const listener of this.#listeners.get(message.event) ?? []) listener(message.data ?? {});
      return;
    }
    const pending = message.id === undefined ? undefined : this.#pending.get(message.id);
    if (!pending || message.id === undefined) return;
    this.#pending.delete(message.id);
    if (message.error) pending.reject(new WrennError("agent_error", `QEMU refused: ${message.error.desc}`));
    else pending.resolve(message.return);
  }

  #close(error: Error): void {
    this.#closed ??= error;
    for (const pending of this.#pending.values()) pending.reject(this.#closed);
    this.#pending.clear();
  }
}

function parse(line: string): QmpMessage | undefined {
  if (line.length > maxLineBytes) return undefined;
  try {
    const value: unknown = JSON.parse(line);
    return typeof value === "object" && value !== null ? (value as QmpMessage) : undefined;
  } catch {
    return undefined;
  }
}
