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

/** What a supervisor tells the host agent before it ends the platform: nothing is to outlive it. */
export interface DrainMessage {
  drain: true;
}

/** Calls the function once, when the supervisor asks for it. */
export function onDrain(drain: () => Promise<void>): void {
  const listener = (message: unknown) => {
    if (typeof message !== "object" || message === null || !("drain" in message)) return;
    process.off("message", listener);
    void drain();
  };
  process.on("message", listener);
}
