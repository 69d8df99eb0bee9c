import { expect, test } from "vitest";
import type { Guest } from "./support/guest.ts";
import { eachTarget } from "./support/targets.ts";

const fieldsOfE2b = [
  ...["cpu_count", "cpu_used_pct", "disk_total", "disk_used"],
  ...["mem_cache", "mem_total", "mem_used", "ts"],
];

async function metricsOf(guest: Guest, extensions = false): Promise<Record<string, number>> {
  const response = await guest.fetch("/metrics", {}, { extensions });
  expect(response.status).toBe(200);
  return (await response.json()) as Record<string, number>;
}

eachTarget((guest) => {
  test("metrics are those of the guest, in bytes", async () => {
    const metrics = await metricsOf(guest());
    expect(Object.keys(metrics).sort()).toEqual(fieldsOfE2b);
    const read = async (line: string): Promise<number> => Number(await guest().output(line));
    expect(metrics.cpu_count).toBe(await read("nproc"));
    expect(metrics.mem_total).toBe(
      1024 * (await read("sed -n 's/MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo")),
    );
    expect(metrics.disk_total).toBe(await read("echo $(($(stat -f -c '%b * %S' /)))"));
    expect(metrics.ts).toBeCloseTo(await read("date +%s"), -1);
    const { mem_total = 0, mem_used = 0, mem_cache = 0, disk_total = 0, disk_used = 0 } = metrics;
    expect(mem_used).toBeGreaterThan(0);
    expect(mem_used + mem_cache).toBeLessThanOrEqual(mem_total);
    expect(disk_used).toBeGreaterThan(0);
    expect(disk_used).toBeLessThanOrEqual(disk_total);
  });

  test("CPU is counted from one question to the next, and for whoever asks for it since boot", async () => {
    // Long enough after the question of another test to count from this one.
    await guest().output("sleep 0.2");
    const before = await metricsOf(guest(), true);
    await guest().output("timeout 1 sh -c 'while :; do :; done' || true");
    const after = await metricsOf(guest(), true);
    const used = (after.cpu_used_ms ?? 0) - (before.cpu_used_ms ?? 0);
    const passed = (after.cpu_total_ms ?? 0) - (before.cpu_total_ms ?? 0);
    expect(used).toBeGreaterThan(100);
    expect(after.cpu_used_pct).toBeCloseTo((100 * used) / passed, 0);
  });

  test("what is in memory as cache is not used", async () => {
    const before = await metricsOf(guest());
    await guest().output("head -c 64M /dev/zero >/var/tmp/cached && cat /var/tmp/cached >/dev/null");
    const after = await metricsOf(guest());
    await guest().output("rm /var/tmp/cached");
    if (guest().options.target === "bare") return; // The cache is that of the whole machine.
    expect((after.mem_cache ?? 0) - (before.mem_cache ?? 0)).toBeGreaterThan(48 << 20);
    expect((after.mem_used ?? 0) - (before.mem_used ?? 0)).toBeLessThan(32 << 20);
  });

  test("the default environment is shown as /init set it", async () => {
    await guest().fetch("/init", { method: "POST", body: '{"envVars":{"ONE":"1","EMPTY":""}}' });
    const response = await guest().fetch("/envs");
    expect(response.headers.get("cache-control")).toBe("no-store");
    expect(await response.json()).toEqual({ ONE: "1", EMPTY: "" });
    await guest().fetch("/init", { method: "POST", body: '{"envVars":{}}' });
    expect(await (await guest().fetch("/envs")).json()).toEqual({});
  });

  test("neither is for strangers, and each is only read", async () => {
    for (const path of ["/metrics", "/envs"]) {
      expect((await guest().fetch(path, {}, { token: undefined })).status).toBe(401);
      expect((await guest().fetch(path, {}, { token: "wrong" })).status).toBe(401);
      expect((await guest().fetch(path, { method: "POST" })).status).toBe(405);
    }
  });

  test("no timer runs while nothing happens", async () => {
    // Its connections would be closed by this client while they are watched.
    await guest().fetch("/snapshot/prepare", { method: "POST" });
    // The process that looks is the only thing that happens; its own output comes after both looks.
    const switches = "cat /proc/$PPID/task/*/status | awk '/ctxt_switches/ { sum += $2 } END { print sum }'";
    const line = `
      until [ "$(ls /proc/$PPID/task | wc -l)" = 1 ]; do sleep 0.2; done
      before=$(${switches}); sleep 5; after=$(${switches}); echo $((after - before))`;
    expect(Number(await guest().output(line))).toBeLessThanOrEqual(2);
  });
});
