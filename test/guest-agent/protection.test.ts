import { expect, test } from "vitest";
import { Followed } from "./support/followed.ts";
import { eachTarget } from "./support/targets.ts";

eachTarget((guest) => {
  test("a process is in its group, and the agent in its own", async () => {
    expect(await guest().output("cat /proc/self/cgroup")).toBe("0::/users/commands\n");
    expect(await guest().output("cat /proc/$PPID/cgroup")).toBe("0::/agent\n");
    const pty = { size: { cols: 80, rows: 24 } };
    const process = { cmd: "/bin/cat", args: ["/proc/self/cgroup"] };
    const followed = new Followed(guest().processes.start({ process, pty }));
    await followed.ended;
    expect(followed.text("pty")).toBe("0::/users/terminals\r\n");
  });

  test("the kernel ends processes of users before any of the machine's", async () => {
    const read = "cat /proc/self/oom_score_adj /proc/$PPID/oom_score_adj /proc/1/oom_score_adj";
    expect(await guest().output(read)).toBe("100\n-1000\n-1000\n");
    expect(await guest().output("cat /proc/self/oom_score_adj", { user: "user" })).toBe("100\n");
  });

  test("what users run never gets all memory, and the agent keeps its own", async () => {
    const text = await guest().output(
      "cd /sys/fs/cgroup; sed -n 's/MemTotal: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo; cat users/memory.max agent/memory.min",
    );
    const [totalKib = 0, most = 0, least = 0] = text.split("\n").map(Number);
    expect(most).toBeLessThan(totalKib * 1024 * 0.9);
    expect(most).toBeGreaterThan(totalKib * 1024 * 0.8);
    expect(least).toBe(32 << 20);
  });

  test("user code that eats all memory is ended, and the agent answers", async () => {
    const agent = await guest().output("echo $PPID");
    // A line that never ends is held whole.
    const process = { cmd: "/usr/bin/tail", args: ["-n", "1", "/dev/zero"] };
    const hungry = new Followed(guest().processes.start({ process, stdin: false }));
    const bystander = new Followed(guest().processes.start({ process: { cmd: "/bin/cat" }, stdin: true }));
    const end = await hungry.ended;
    expect(end).toMatchObject({ exited: false });
    expect((await guest().fetch("/health")).status).toBe(204);
    expect(await guest().output("echo $PPID")).toBe(agent);
    const counted = "cd /sys/fs/cgroup; grep -h '^oom_kill ' users/memory.events agent/memory.events";
    expect(await guest().output(counted)).toBe("oom_kill 1\noom_kill 0\n");
    // One is ended, not all.
    const selected = { selector: { case: "pid", value: await bystander.pid } } as const;
    await guest().processes.closeStdin({ process: selected });
    expect((await bystander.ended).exitCode).toBe(0);
  });
}, "capsule");
