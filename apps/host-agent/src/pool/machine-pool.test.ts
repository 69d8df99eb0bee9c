import { makeLogger } from "@wrenn/daemon";
import { afterEach, beforeEach, describe, expect, test } from "vitest";
import { MachinePool, type PoolSource, type Waiting } from "./machine-pool.ts";

const minimal = { id: "boot-1", template: "minimal" };
const python = { id: "boot-2", template: "python" };

class Machine implements Waiting {
  readonly source: PoolSource;
  readonly #exit = Promise.withResolvers<void>();
  ended = false;

  constructor(source: PoolSource) {
    this.source = source;
  }

  get exited(): Promise<void> {
    return this.#exit.promise;
  }

  /** It ends by itself. */
  exit(): void {
    this.#exit.resolve();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.ended = true;
    this.#exit.resolve();
  }
}

let made: Machine[];
let most: number;
let making: (source: PoolSource) => Promise<Machine | undefined>;
let pool: MachinePool<PoolSource, Machine>;

beforeEach(() => {
  made = [];
  most = 0;
  making = async (source) => new Machine(source);
  pool = open(() => 2);
});
afterEach(() => pool[Symbol.asyncDispose]());

function open(sizeOf: (source: PoolSource) => number): MachinePool<PoolSource, Machine> {
  let underWay = 0;
  return new MachinePool({
    sizeOf,
    logger: makeLogger("pool", "silent"),
    make: async (source) => {
      underWay += 1;
      most = Math.max(most, underWay);
      try {
        const machine = await making(source);
        if (machine) made.push(machine);
        return machine;
      } finally {
        underWay -= 1;
      }
    },
  });
}

/** Waits until nothing is done in the background any more. */
async function settled(): Promise<void> {
  for (let i = 0; i < 20; i++) await new Promise(setImmediate);
}

describe("filling", () => {
  test("begins with the first create from a source, and is done one by one", async () => {
    await settled();
    expect(made).toEqual([]);
    pool.used(minimal);
    pool.used(python);
    await settled();
    expect(made.map(({ source }) => source.template)).toEqual(["minimal", "minimal", "python", "python"]);
    expect(most).toBe(1);
    expect(pool.readyCount).toBe(4);
  });

  test("waits while something is created", async () => {
    const one = pool.creating();
    const other = pool.creating();
    pool.used(minimal);
    one[Symbol.dispose]();
    one[Symbol.dispose]();
    await settled();
    expect(made).toEqual([]);
    other[Symbol.dispose]();
    await settled();
    expect(made).toHaveLength(2);
  });

  test("is not done for a template that has no pool", async () => {
    pool = open(() => 0);
    pool.used(minimal);
    await settled();
    expect(made).toEqual([]);
  });

  test.each([
    ["there is no room", async () => undefined],
    ["they do not start", () => Promise.reject(new Error("no"))],
  ])("is not tried again and again when %s, but at the next create", async (_name, fails) => {
    let tries = 0;
    making = (): Promise<undefined> => {
      tries += 1;
      return fails();
    };
    pool.used(minimal);
    await settled();
    expect(tries).toBe(1);
    pool.used(minimal);
    await settled();
    expect(tries).toBe(2);
  });
});

describe("a claim", () => {
  test("takes the oldest, once, and what is missing is made again when the create is done", async () => {
    pool.used(minimal);
    await settled();
    const create = pool.creating();
    expect(pool.claim(minimal)).toBe(made[0]);
    expect(pool.claim(minimal)).toBe(made[1]);
    expect(pool.claim(minimal)).toBeUndefined();
    expect(pool.claim(python)).toBeUndefined();
    await settled();
    expect(made).toHaveLength(2);
    create[Symbol.dispose]();
    await settled();
    expect(made).toHaveLength(4);
    expect(made.filter(({ ended }) => ended)).toEqual([]);
  });

  test("takes none that has ended: it is replaced", async () => {
    pool.used(minimal);
    await settled();
    made[0]?.exit();
    await settled();
    expect(made).toHaveLength(3);
    expect(made[0]?.ended).toBe(true);
    expect([pool.claim(minimal), pool.claim(minimal)]).toEqual([made[1], made[2]]);
  });

  test("of machines that all end finds none, and they are not made for ever", async () => {
    making = async (source) => {
      const machine = new Machine(source);
      setImmediate(() => machine.exit());
      return machine;
    };
    pool.used(minimal);
    await settled();
    await settled();
    expect(made.length).toBeLessThan(6);
    expect(pool.claim(minimal)).toBeUndefined();
  });

  test("has nothing to do with the machine's end later on", async () => {
    pool.used(minimal);
    await settled();
    const claimed = pool.claim(minimal);
    claimed?.exit();
    await settled();
    expect(claimed?.ended).toBe(false);
  });
});

test("a new state of a template ends what waits for the old one, also what is being made", async () => {
  pool.used(minimal);
  await settled();
  pool.claim(minimal);
  const { promise, resolve } = Promise.withResolvers<void>();
  making = async (source) => {
    await promise;
    return new Machine(source);
  };
  pool.used(minimal);
  const newer = { ...minimal, id: "boot-3" };
  pool.used(newer);
  resolve();
  await settled();
  expect(made.filter(({ source }) => source.id === minimal.id).map(({ ended }) => ended)).toEqual([
    false,
    true,
    true,
  ]);
  expect(pool.claim(minimal)).toBeUndefined();
  expect(pool.claim(newer)).toBeDefined();
});

describe("giving up", () => {
  test("ends one at a time, and makes no other until the next create", async () => {
    pool.used(minimal);
    await settled();
    expect(await pool.reclaim()).toBe(true);
    await settled();
    expect(pool.readyCount).toBe(1);
    expect(await pool.reclaim()).toBe(true);
    expect(await pool.reclaim()).toBe(false);
    expect(made.map(({ ended }) => ended)).toEqual([true, true]);
    pool.used(minimal);
    await settled();
    expect(pool.readyCount).toBe(2);
  });

  test("ends also one that is being made", async () => {
    const { promise, resolve } = Promise.withResolvers<void>();
    making = async (source) => {
      await promise;
      return new Machine(source);
    };
    pool.used(minimal);
    const given = pool.reclaim();
    resolve();
    expect(await given).toBe(true);
    expect(made.map(({ ended }) => ended)).toEqual([true]);
  });
});

test("the end of the agent ends what waits and makes nothing more", async () => {
  pool.used(minimal);
  await pool[Symbol.asyncDispose]();
  pool.used(python);
  await settled();
  expect(made.every(({ ended }) => ended)).toBe(true);
  expect(pool.readyCount).toBe(0);
});
