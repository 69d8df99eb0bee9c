import { tmpdir } from "node:os";
import { beforeEach, describe, expect, test } from "vitest";
import { Admission, type Budget, monitorMib } from "./admission.ts";
import { hostReadings, totalMemoryMib } from "./host-readings.ts";

const size = { vcpus: 1, memoryMib: 512 };
const machineMib = size.memoryMib + monitorMib;

let host: { availableMib: number; freeMib: number };

beforeEach(() => {
  host = { availableMib: 100_000, freeMib: 100_000 };
});

function admission(budget: Partial<Budget> = {}): Admission {
  return new Admission(
    { promisedMib: 1e9, memoryReserveMib: 256, diskReserveMib: 512, maxMachines: 0, ...budget },
    { availableMemoryMib: async () => host.availableMib, freeDiskMib: async () => host.freeMib },
  );
}

describe("memory", () => {
  test("counts with all that a guest may have, not only what it takes in its first moment", async () => {
    const full = admission({ promisedMib: 3 * machineMib });
    await full.admit([size, size, size]);
    // Nothing of it is used yet, and all of it is promised.
    expect(host.availableMib).toBe(100_000);
    await expect(full.admit([size])).rejects.toMatchObject({
      code: "host_full",
      message: expect.stringContaining(`${machineMib} MiB are missing`),
    });
  });

  test("has to be available as well, whatever may still be promised", async () => {
    host.availableMib = 256 + monitorMib - 1;
    await expect(admission().admit([size])).rejects.toMatchObject({ code: "host_full" });
    host.availableMib += 1;
    await admission().admit([size]);
  });

  test("comes back when a machine is gone, once", async () => {
    const full = admission({ promisedMib: machineMib });
    const [held] = await full.admit([size]);
    await expect(full.admit([size])).rejects.toMatchObject({ code: "host_full" });
    held?.[Symbol.dispose]();
    held?.[Symbol.dispose]();
    expect(full.promisedMib).toBe(0);
    await full.admit([size]);
  });
});

test("a host without disk space to spare takes no more machines", async () => {
  host.freeMib = 511;
  await expect(admission().admit([size])).rejects.toMatchObject({
    code: "host_full",
    message: expect.stringContaining("1 MiB are missing"),
  });
});

test("no more machines run than may", async () => {
  const two = admission({ maxMachines: 2 });
  await two.admit([size, size]);
  await expect(two.admit([size])).rejects.toMatchObject({ code: "host_full" });
});

test("all machines of a fork have room, or none has", async () => {
  const two = admission({ promisedMib: 2 * machineMib });
  await expect(two.admit([size, size, size])).rejects.toMatchObject({ code: "host_full" });
  expect(two.machines).toBe(0);
  expect(await two.admit([size, size])).toHaveLength(2);
});

test("asked by many at once, promises no room twice", async () => {
  const three = admission({ promisedMib: 3 * machineMib });
  const asked = await Promise.allSettled(Array.from({ length: 10 }, () => three.admit([size])));
  expect(asked.filter(({ status }) => status === "fulfilled")).toHaveLength(3);
});

test("what runs already is counted whatever the budget", async () => {
  const none = admission({ promisedMib: 0 });
  none.take(size);
  expect(none).toMatchObject({ machines: 1, promisedMib: machineMib });
});

describe("what waits to be used", () => {
  test("is given up before anybody is refused, as much of it as is needed", async () => {
    const full = admission({ promisedMib: 3 * machineMib });
    const spare = [await full.admitSpare(size), await full.admitSpare(size), await full.admitSpare(size)];
    full.reclaim = async () => {
      const given = spare.pop();
      given?.[Symbol.dispose]();
      return given !== undefined;
    };
    await full.admit([size, size]);
    expect(spare).toHaveLength(1);
    await full.admit([size]);
    await expect(full.admit([size])).rejects.toMatchObject({ code: "host_full" });
  });

  test("takes nobody's room", async () => {
    const full = admission({ promisedMib: machineMib });
    await full.admit([size]);
    full.reclaim = async () => {
      throw new Error("nothing may be given up for it");
    };
    expect(await full.admitSpare(size)).toBeUndefined();
  });
});

test("this host tells what it has", async () => {
  const readings = hostReadings(tmpdir());
  expect(await readings.availableMemoryMib()).toBeGreaterThan(0);
  expect(await readings.availableMemoryMib()).toBeLessThanOrEqual(totalMemoryMib());
  expect(await readings.freeDiskMib()).toBeGreaterThan(0);
});
