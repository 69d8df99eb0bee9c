import { Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { Followed } from "./support/followed.ts";
import { byPid, byTag, connect, expectRefusal, start } from "./support/processes.ts";
import { eachTarget, eachWire } from "./support/targets.ts";

eachTarget((guest) => {
  eachWire((wire) => {
    test("exit codes and both outputs arrive", async () => {
      for (const code of [0, 1, 255]) {
        const followed = start(guest(), `echo out; echo err >&2; exit ${code}`, {}, { wire });
        expect(await followed.ended).toMatchObject({
          exitCode: code,
          exited: true,
          status: `exit status ${code}`,
        });
        expect([followed.text("stdout"), followed.text("stderr")]).toEqual(["out\n", "err\n"]);
      }
    });

    test("the signal that ended a process is named", async () => {
      const end = await start(guest(), "kill -KILL $$", {}, { wire }).ended;
      expect(end).toMatchObject({ exitCode: -1, exited: false, status: "signal: killed", signal: 9 });
      const plain = await start(guest(), "kill -TERM $$", {}, { wire, extensions: false }).ended;
      expect(plain).toMatchObject({ exitCode: -1, exited: false, status: "signal: terminated" });
      expect(plain.signal).toBeUndefined();
    });

    test("what cannot start is refused before the first event", async () => {
      const refused: [Parameters<typeof start>[1], Parameters<typeof start>[2], Code, string][] = [
        [["no-such-program"], {}, Code.NotFound, "cmd"],
        [["/no/such/program"], {}, Code.NotFound, "cmd"],
        [["/etc/passwd"], {}, Code.PermissionDenied, "cmd"],
        [["/etc"], {}, Code.PermissionDenied, "cmd"],
        [[""], {}, Code.InvalidArgument, "cmd"],
        [["a\0b"], {}, Code.InvalidArgument, "cmd"],
        [["true", "a\0b"], {}, Code.InvalidArgument, "args"],
        ["true", { envs: { "A=": "x" } }, Code.InvalidArgument, "envs"],
        ["true", { cwd: "/no/such" }, Code.InvalidArgument, "cwd"],
        ["true", { cwd: "/etc/passwd" }, Code.InvalidArgument, "cwd"],
      ];
      for (const [command, options, code, names] of refused) {
        const followed = start(guest(), command, options, { wire });
        await expectRefusal(followed.ended, code, names);
        expect(followed.events).toEqual([]);
      }
      const stranger = start(guest(), "true", {}, { wire, user: "no-such-user" });
      await expectRefusal(stranger.ended, Code.Unauthenticated, "no-such-user");
      expect(stranger.events).toEqual([]);
    });

    test("a process is found by pid and by tag while it runs", async () => {
      const tag = `mine-${wire.name}`;
      const followed = start(
        guest(),
        "read line",
        { stdin: true, tag, envs: { A: "b" }, cwd: "/tmp" },
        { wire },
      );
      const pid = await followed.pid;
      const { processes } = guest().as({ wire, extensions: false });
      const listed = (await processes.list({})).processes.find((process) => process.pid === pid);
      expect(listed).toMatchObject({
        ...{ tag, pid, config: { cmd: "/bin/sh", args: ["-c", "read line"], envs: { A: "b" }, cwd: "/tmp" } },
        ...{ pty: false, adopted: false },
      });
      expect(listed?.startedAt).toBeUndefined();
      const second = connect(guest(), pid, undefined, { wire });
      expect(await second.pid).toBe(pid);
      await processes.closeStdin({ process: byTag(tag) });
      expect([(await followed.ended).exitCode, (await second.ended).exitCode]).toEqual([1, 1]);
      expect((await processes.list({})).processes.filter((process) => process.pid === pid)).toEqual([]);
    });
  });

  test("with extensions the list has more of each process, and those that have ended", async () => {
    const { processes } = guest();
    const before = Date.now();
    const followed = start(guest(), "exit 4", { tag: "short" });
    const pid = await followed.pid;
    await followed.ended;
    const find = async (includeEnded: boolean, extensions: boolean) =>
      (await guest().as({ extensions }).processes.list({ includeEnded })).processes.find(
        (process) => process.pid === pid,
      );
    const ended = await find(true, true);
    expect(ended).toMatchObject({ tag: "short", pty: false, end: { exitCode: 4, exited: true } });
    expect(Math.abs(Number(ended?.startedAt?.seconds) - before / 1000)).toBeLessThan(60);
    expect(await find(false, true)).toBeUndefined();
    expect(await find(true, false)).toBeUndefined();
    const calls = [
      processes.sendSignal({ process: byPid(pid), signal: 15 }),
      processes.closeStdin({ process: byPid(pid) }),
    ];
    for (const call of calls) await expectRefusal(call, Code.NotFound, "ended");
  });

  test("what was never there is not found, and no selector is no process", async () => {
    const { processes } = guest();
    await expectRefusal(connect(guest(), 4_000_000).ended, Code.NotFound, "4000000");
    await expectRefusal(processes.closeStdin({ process: byTag("nobody's") }), Code.NotFound, "nobody's");
    await expectRefusal(processes.closeStdin({}), Code.InvalidArgument, "process");
    await expectRefusal(processes.sendSignal({ process: byPid(4_000_000), signal: 9 }), Code.NotFound);
  });

  test("a tag that is used again is that of the one that runs, else of the newest", async () => {
    const { processes } = guest();
    const first = start(guest(), "read line; exit 1", { stdin: true, tag: "again" });
    await first.pid;
    await start(guest(), "exit 2", { tag: "again" }).ended;
    await processes.closeStdin({ process: byTag("again") });
    expect((await first.ended).exitCode).toBe(1);
    await start(guest(), "exit 3", { tag: "again" }).ended;
    const late = new Followed(processes.connect({ process: byTag("again") }));
    expect((await late.ended).exitCode).toBe(3);
  });

  test("the environment is made for the process, and nothing of the agent's is in it", async () => {
    const followed = start(guest(), ["env"], { envs: { MINE: "a=b c\nd", USER: "me" } });
    await followed.ended;
    const names = followed
      .text("stdout")
      .split("\n")
      .filter((line) => line.includes("="));
    expect(new Set(names.map((line) => line.split("=")[0]))).toEqual(
      new Set(["HOME", "LOGNAME", "MINE", "PATH", "SHELL", "USER"]),
    );
    expect(names).toContain("USER=me");
    expect(followed.text("stdout")).toContain("MINE=a=b c\nd\n");
  });

  test("a user has its groups, home, shell and working directory", async ({ skip }) => {
    skip(!guest().options.otherUsers, "without root there are none");
    const line = "id -u; id -g; pwd; echo $HOME $USER $LOGNAME $SHELL; cat /root/x 2>&1; echo x >~/mine";
    const [uid, gid, cwd, names, refused] = (await guest().output(line, { user: "user" })).split("\n");
    expect([uid, gid, cwd, names]).toEqual(["1000", "1000", "/home/user", "/home/user user user /bin/bash"]);
    expect(refused).toContain("ermission denied");
    expect(await guest().output("stat -c %U:%G /home/user/mine")).toBe("user:user\n");
    const groups = "id -Gn | tr ' ' '\\n' | sort";
    expect(await guest().output(groups, { user: "user" })).toBe(
      await guest().output(`id -Gn user | tr ' ' '\\n' | sort`),
    );
    const forbidden = start(guest(), "true", { cwd: "/root" }, { user: "user" });
    await expectRefusal(forbidden.ended, Code.PermissionDenied, "cwd");
  });

  test("a process leads its own session and group, and has no descriptor but its own three", async () => {
    const terminal = start(guest(), "read line", { pty: { size: { cols: 80, rows: 24 } } });
    const pipes = start(guest(), "read line", { stdin: true });
    await Promise.all([terminal.pid, pipes.pid]);
    const followed = start(guest(), "cut -d' ' -f1,5,6 /proc/$$/stat; ls /proc/self/fd");
    await followed.ended;
    const pid = await followed.pid;
    // The fourth is the directory that ls reads.
    expect(followed.text("stdout")).toBe(`${pid} ${pid} ${pid}\n0\n1\n2\n3\n`);
    for (const other of [terminal, pipes]) {
      await guest().processes.sendSignal({ process: byPid(await other.pid), signal: 9 });
      await other.ended;
    }
  });
});
