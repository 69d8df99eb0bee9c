import { Code } from "@connectrpc/connect";
import { OutputStream, ProcessEvent_GapEvent_Reason as Reason, Signal } from "@wrenn/contracts/process";
import { expect, test } from "vitest";
import { crash } from "./support/crash.ts";
import { Followed } from "./support/followed.ts";
import type { Guest } from "./support/guest.ts";
import { eachTarget } from "./support/targets.ts";

function begin(guest: Guest, script: string, { stdin = false } = {}): Followed {
  const process = { cmd: "/bin/sh", args: ["-c", script] };
  return new Followed(guest.as({ user: "root" }).processes.start({ process, stdin }));
}

function select(pid: number): { process: { selector: { case: "pid"; value: number } } } {
  return { process: { selector: { case: "pid", value: pid } } };
}

function input(pid: number, text: string, kind: "stdin" | "pty" = "stdin") {
  return { ...select(pid), input: { input: { case: kind, value: new TextEncoder().encode(text) } } };
}

eachTarget(
  (guest) => {
    test("a process goes on with its output, its input and its exit code", async () => {
      const script = 'echo ready; while read line; do echo "got $line"; done; echo over; exit 5';
      const first = begin(guest(), script, { stdin: true });
      await first.prints("stdout", "ready\n");
      const pid = await first.pid;
      await crash(guest());
      await expect(first.ended).rejects.toThrow();

      const { processes } = await guest().processes.list({});
      expect(processes.find((process) => process.pid === pid)).toMatchObject({ adopted: true, pty: false });
      const from = { stdout: BigInt(first.bytes("stdout").length) };
      const again = new Followed(guest().processes.connect({ ...select(pid), from }));
      await guest().processes.sendInput(input(pid, "one\ntwo\n"));
      await again.prints("stdout", "got two\n");
      await guest().processes.closeStdin(select(pid));
      expect((await again.ended).exitCode).toBe(5);
      expect(again.text("stdout")).toBe("got one\ngot two\nover\n");
      expect(again.gaps).toEqual([]);
    });

    test("a terminal goes on", async () => {
      const size = { cols: 100, rows: 30 };
      const process = { cmd: "/bin/sh", args: ["-i"], envs: { PS1: "$ " } };
      const first = new Followed(guest().processes.start({ process, pty: { size } }));
      await first.prints("pty", "$ ");
      const pid = await first.pid;
      await crash(guest());

      const again = new Followed(guest().processes.connect(select(pid)));
      await guest().processes.update({ ...select(pid), pty: { size: { cols: 120, rows: 40 } } });
      await guest().processes.sendInput(input(pid, "stty size; exit 3\n", "pty"));
      expect((await again.ended).exitCode).toBe(3);
      expect(again.text("pty")).toContain("40 120");
    });

    test("exit codes are known, of what ended before, without and after the agent", async () => {
      const before = begin(guest(), "exit 3");
      expect((await before.ended).exitCode).toBe(3);
      const without = begin(guest(), "read line; kill -KILL $PPID; exit 4", { stdin: true });
      // The agent may die before it answers.
      await guest()
        .processes.sendInput(input(await without.pid, "\n"))
        .catch(() => {});
      await expect(without.ended).rejects.toThrow();
      const after = begin(guest(), "read line; kill -INT $$", { stdin: true });
      await after.pid;
      await crash(guest());

      const followed = async (first: Followed) =>
        new Followed(guest().processes.connect(select(await first.pid)));
      expect((await (await followed(before)).ended).exitCode).toBe(3);
      expect((await (await followed(without)).ended).exitCode).toBe(4);
      const last = await followed(after);
      await last.pid;
      await guest().processes.sendInput(input(await after.pid, "\n"));
      expect(await last.ended).toMatchObject({ exited: false, signal: Signal.SIGINT });
    });

    test("output that only the dead agent had is a gap, and what follows has its place", async () => {
      const size = 400_000;
      const fifo = "/tmp/agent-death-written";
      await guest().output(`mkfifo ${fifo}`, { user: "root" });
      const aborted = new AbortController();
      const process = { cmd: "/bin/sh", args: ["-c", `head -c ${size} /dev/zero; echo >${fifo}; cat`] };
      const first = new Followed(
        guest().as({ user: "root" }).processes.start({ process }, { signal: aborted.signal }),
      );
      const pid = await first.pid;
      aborted.abort();
      await guest().output(`cat ${fifo}; rm ${fifo}`, { user: "root" });
      await crash(guest());

      const plain = new Followed(guest().as({ extensions: false }).processes.connect(select(pid)));
      const told = new Followed(guest().processes.connect({ ...select(pid), from: { stdout: 0n } }));
      await Promise.all([plain.pid, told.pid]);
      await guest().processes.sendInput(input(pid, "last"));
      await guest().processes.closeStdin(select(pid));
      expect((await told.ended).exitCode).toBe(0);
      const [gap] = told.gaps;
      expect(told.gaps).toHaveLength(1);
      expect(gap).toMatchObject({ stream: OutputStream.STDOUT, from: 0n, reason: Reason.AGENT_RESTARTED });
      expect(Number(gap?.to) + told.bytes("stdout").length).toBe(size + "last".length);
      expect((await plain.ended).exitCode).toBe(0);
      expect(plain.text("stdout").endsWith("last")).toBe(true);
    });

    test("the time of a process is still up when it is up", async () => {
      const process = { cmd: "/bin/sh", args: ["-c", "sleep 1000"] };
      const first = new Followed(guest().processes.start({ process }, { timeoutMs: 2000 }));
      const pid = await first.pid;
      await crash(guest());
      const again = new Followed(guest().processes.connect(select(pid)));
      expect(await again.ended).toMatchObject({ exited: false, signal: Signal.SIGTERM });
    });

    test("a daemon is not ended by its own output", async () => {
      const [orders, answers] = ["/tmp/agent-death-orders", "/tmp/agent-death-answers"];
      const daemon = `exec 3<>${orders}; while read line <&3; do echo "$line" && echo "$line" >${answers}; done`;
      await guest().output(`mkfifo ${orders} ${answers}`, { user: "root" });
      const first = begin(guest(), `{ ${daemon}; } & echo $!`);
      expect((await first.ended).exitCode).toBe(0);
      const pid = first.text("stdout").trim();
      for (const word of ["one", "two"]) {
        await crash(guest());
        const line = `echo ${word} >${orders}; cat ${answers}`;
        expect(await guest().output(line, { user: "root" })).toBe(`${word}\n`);
      }
      await guest().output(`kill ${pid}; rm ${orders} ${answers}`, { user: "root" });
    });

    test("deaths in a row: it serves again within a second, and nothing is lost", async () => {
      const deaths = guest().options.target === "bare" ? 20 : 5;
      const outages: number[] = [];
      const waiting = Array.from({ length: 20 }, (_, index) =>
        begin(guest(), `read line; exit ${index}`, { stdin: true }),
      );
      const pids = await Promise.all(waiting.map(({ pid }) => pid));
      for (let death = 0; death < deaths; death++) {
        await crash(guest());
        const begun = performance.now();
        await guest().processes.list({});
        outages.push(performance.now() - begun);
      }
      // The best one: others may have had to wait for the machine.
      expect(Math.min(...outages)).toBeLessThan(1000);
      const again = pids.map((pid) => new Followed(guest().processes.connect(select(pid))));
      await Promise.all(again.map(({ pid }) => pid));
      for (const pid of pids) await guest().processes.sendInput(input(pid, "\n"));
      const codes = await Promise.all(again.map(async ({ ended }) => (await ended).exitCode));
      expect(codes).toEqual(pids.map((_, index) => index));
    });

    test("what /init has set is still set", async () => {
      const body = JSON.stringify({ accessToken: "another-token", envVars: { KEPT: "yes" } });
      const former = guest().token;
      expect((await guest().fetch("/init", { method: "POST", body })).status).toBe(204);
      guest().token = "another-token";
      await crash(guest());
      expect(await guest().output("echo $KEPT")).toBe("yes\n");
      const refused = guest().as({ token: former }).processes.list({});
      await expect(refused).rejects.toMatchObject({ code: Code.Unauthenticated });
    });
  },
  undefined,
  ["--supervise"],
);

eachTarget((guest) => {
  test("nobody in a capsule kills the holder", async () => {
    await guest().output("kill -KILL 1; kill -HUP 1", { user: "root" });
    await crash(guest());
    expect(await guest().output("cat /proc/1/comm")).toBe("holder\n");
  });
}, "capsule");
