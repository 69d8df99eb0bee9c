import { describe, expect, test } from "vitest";
import { Operations } from "./operations.ts";

/** Work that lasts until it is told to end. */
function lasting() {
  const { promise, resolve, reject } = Promise.withResolvers<string>();
  const begun: AbortSignal[] = [];
  const work = async (signal: AbortSignal) => {
    begun.push(signal);
    return await promise;
  };
  return { work, resolve, reject, begun };
}

describe("operations of one capsule", () => {
  test("are done one after the other, whatever becomes of each", async () => {
    const operations = new Operations();
    const first = lasting();
    const one = operations.run("one", first.work);
    const two = operations.run("two", async () => "two");
    expect(await Promise.race([two, Promise.resolve("not yet")])).toBe("not yet");
    first.reject(new Error("failed"));
    await expect(one).rejects.toThrow("failed");
    expect(await two).toBe("two");
    expect(operations.busy).toBe(false);
  });

  test("are the same one when the same is asked for, and its outcome afterwards", async () => {
    const operations = new Operations();
    const first = lasting();
    const one = operations.run("pause 2", first.work);
    const two = operations.run("pause 2", async () => "another");
    first.resolve("paused");
    expect(await Promise.all([one, two])).toEqual(["paused", "paused"]);
    expect(await operations.run("pause 2", async () => "another")).toBe("paused");
    expect(first.begun).toHaveLength(1);
  });

  test("end with the last one: it gives up what is under way, and what waits is not begun", async () => {
    const operations = new Operations();
    const first = lasting();
    const one = operations.run("one", first.work);
    const two = operations.run("two", async () => "two");
    await expect.poll(() => first.begun.length).toBe(1);
    const order: string[] = [];
    const end = operations.end(async () => void order.push("end"));
    const again = operations.end(async () => void order.push("another end"));
    expect(first.begun[0]?.aborted).toBe(true);
    await expect(operations.run("three", async () => {})).rejects.toMatchObject({ code: "conflict" });
    first.resolve("one, after all");
    expect(await one).toBe("one, after all");
    await expect(two).rejects.toMatchObject({ code: "conflict" });
    await Promise.all([end, again]);
    expect(order).toEqual(["end"]);
  });

  test("whose end failed can be ended again", async () => {
    const operations = new Operations();
    await expect(operations.end(() => Promise.reject(new Error("disk")))).rejects.toThrow("disk");
    let ended = false;
    await operations.end(async () => {
      ended = true;
    });
    expect(ended).toBe(true);
  });

  test("do not wait for work in the background: that gives way", async () => {
    const operations = new Operations();
    let began = false;
    let gaveWay = false;
    operations.runInBackground(async (signal) => {
      began = true;
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
      gaveWay = true;
    });
    await expect.poll(() => began).toBe(true);
    expect(await operations.run("one", async () => gaveWay)).toBe(true);
    operations.runInBackground(async (signal) => {
      await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve()));
    });
    await operations.idle();
  });
});
