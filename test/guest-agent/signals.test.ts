import { Code } from "@connectrpc/connect";
import { type Signal, SignalSchema } from "@wrenn/contracts/process";
import { expect, test } from "vitest";
import { byPid, byTag, expectRefusal, start } from "./support/processes.ts";
import { eachTarget, eachWire } from "./support/targets.ts";

/** Those that a process can catch, by their numbers; the name is as the wire has it. */
const catchable = SignalSchema.values
  .filter(({ number }) => number !== 0 && number !== 9 && number !== 19)
  .map(({ name, number }) => ({ name: name.replace("SIGNAL_SIG", ""), number: number as Signal }));

eachTarget((guest) => {
  eachWire((wire) => {
    test("every signal by its name", async () => {
      const { processes } = guest().as({ wire });
      expect(catchable.length).toBe(29);
      const followed = start(
        guest(),
        // The shell tells what it got as soon as it no longer waits for its child: a signal that comes just before it
        // does, and that the child outlives, would go unseen for as long as the child lives.
        [
          "/bin/bash",
          "-c",
          `for n in ${catchable.map(({ number }) => number).join(" ")}; do trap "echo got $n" $n; done
           echo up; while :; do sleep 0.1 & wait $!; done`,
        ],
        {},
        { wire },
      );
      await followed.prints("stdout", "up\n");
      const process = byPid(await followed.pid);
      for (const { name, number } of catchable) {
        await processes.sendSignal({ process, signal: number });
        await followed
          .until(() => followed.text("stdout").split("\n").includes(`got ${number}`))
          .catch((error) => {
            throw new Error(name, { cause: error });
          });
      }
      await processes.sendSignal({ process, signal: 9 });
      expect(await followed.ended).toMatchObject({ status: "signal: killed" });
    });

    test("kill tree: a signal reaches every process of the group", async () => {
      const { processes } = guest().as({ wire });
      const line = "sleep 1001 & a=$!; (sleep 1002 & echo $!; wait) & b=$!; echo $a $b; wait";
      const followed = start(guest(), line, { tag: `tree ${wire.name}` }, { wire });
      const pids = () => followed.text("stdout").match(/\d+/g) ?? [];
      await followed.until(() => pids().length === 3);
      await processes.sendSignal({ process: byTag(`tree ${wire.name}`), signal: 9 });
      expect(await followed.ended).toMatchObject({ exited: false, status: "signal: killed" });
      // The leader's end is told as soon as it is one; the others are about to be.
      const gone = `for pid in ${pids().join(" ")}; do while kill -0 $pid; do sleep 0.01; done; done 2>/dev/null`;
      await guest().output(gone);
    });
  });

  test("a number that is no signal is refused", async () => {
    const followed = start(guest(), "sleep 1000");
    const process = byPid(await followed.pid);
    for (const signal of [0, 65, 1000, -1] as Signal[]) {
      await expectRefusal(guest().processes.sendSignal({ process, signal }), Code.InvalidArgument, "signal");
    }
    // The first real-time signal has no name and ends what does not expect it.
    await guest().processes.sendSignal({ process, signal: 34 as Signal });
    expect(await followed.ended).toMatchObject({ exited: false, signal: 34 });
  });

  test("what stops a process and what continues it", async () => {
    const followed = start(guest(), "read line; exit 8", { stdin: true });
    const pid = await followed.pid;
    const { processes } = guest();
    await processes.sendSignal({ process: byPid(pid), signal: 19 });
    // The signal is on its way to a process that sleeps; the line ends when it has stopped.
    await guest().output(`until grep -q '^State:.T' /proc/${pid}/status; do sleep 0.01; done`);
    await processes.closeStdin({ process: byPid(pid) });
    await processes.sendSignal({ process: byPid(pid), signal: 18 });
    expect((await followed.ended).exitCode).toBe(8);
  });

  test("a child that outlives the leader of the group still gets its signals", async () => {
    const { processes } = guest();
    const followed = start(
      guest(),
      "(trap 'echo child; exit' TERM; echo up; while :; do sleep 0.1; done) & exec sleep 1000",
    );
    await followed.prints("stdout", "up");
    await processes.sendSignal({ process: byPid(await followed.pid), signal: 15 });
    await followed.ended;
    expect(followed.text("stdout")).toBe("up\nchild\n");
  });
});
