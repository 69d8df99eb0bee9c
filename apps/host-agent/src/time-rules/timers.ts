/** Time as it passes on this machine, whatever its clock says. */
export interface Timers {
  /** Milliseconds since a moment that does not change. */
  now(): number;
  /** Calls back once, unless what it returns is disposed of first. */
  after(ms: number, callback: () => void): Disposable;
}

/** Longest wait that `setTimeout` knows. Whoever waits for longer looks at the time when it is called, and waits again. */
const maxWaitMs = 2 ** 31 - 1;

export const systemTimers: Timers = {
  now: () => performance.now(),
  after(ms, callback) {
    const timer = setTimeout(callback, Math.min(ms, maxWaitMs));
    return { [Symbol.dispose]: () => clearTimeout(timer) };
  },
};
