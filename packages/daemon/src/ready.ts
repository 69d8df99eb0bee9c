/** What a supervised daemon tells its supervisor once it serves. */
export interface ReadyMessage {
  ready: true;
  /** Base URL on this machine. */
  url: string;
}

/** Tells the supervisor, if there is one, that this daemon serves, and where. */
export function announceReady(url: string): void {
  process.send?.({ ready: true, url } satisfies ReadyMessage);
}

/** Narrows a message from a child process. */
export function isReadyMessage(message: unknown): message is ReadyMessage {
  return typeof message === "object" && message !== null && "ready" in message && "url" in message;
}

/**
 * What becomes of the capsules of a host that is drained: they are paused, to be gone on with, or destroyed, because the
 * host is given up.
 */
export type Draining = "pause" | "destroy";

/** What a supervisor tells the host agent before it ends the platform: no machine is to outlive it. */
export interface DrainMessage {
  drain: Draining;
}

/** Calls the function once, when the supervisor asks for it. */
export function onDrain(drain: (how: Draining) => Promise<void>): void {
  const listener = (message: unknown) => {
    if (!isDrainMessage(message)) return;
    process.off("message", listener);
    void drain(message.drain);
  };
  process.on("message", listener);
}

function isDrainMessage(message: unknown): message is DrainMessage {
  if (typeof message !== "object" || message === null || !("drain" in message)) return false;
  return message.drain === "pause" || message.drain === "destroy";
}
