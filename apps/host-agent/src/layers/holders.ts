/** Who needs what: each thing is there as long as somebody holds it. A holder is a name, like `capsule:cl…`. */
export class Holders {
  readonly #of = new Map<string, Set<string>>();

  /** Holding twice is holding once. */
  add(thing: string, holder: string): void {
    const present = this.#of.get(thing);
    if (present) present.add(holder);
    else this.#of.set(thing, new Set([holder]));
  }

  /** @returns whether nobody holds it any more, or never has. */
  remove(thing: string, holder: string): boolean {
    const present = this.#of.get(thing);
    present?.delete(holder);
    if (present?.size === 0) this.#of.delete(thing);
    return !this.#of.has(thing);
  }

  isHeld(thing: string): boolean {
    return this.#of.has(thing);
  }

  of(thing: string): ReadonlySet<string> {
    return this.#of.get(thing) ?? new Set();
  }

  /** What a holder holds. */
  heldBy(holder: string): string[] {
    return [...this.#of].filter(([, holders]) => holders.has(holder)).map(([thing]) => thing);
  }
}
