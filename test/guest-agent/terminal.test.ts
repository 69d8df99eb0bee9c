import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import type { StreamInputRequestSchema } from "@wrenn/contracts/process";
import { expect, test } from "vitest";
import { byPid, connect, expectRefusal, input, start } from "./support/processes.ts";
import { eachTarget, eachWire } from "./support/targets.ts";

const pty = { size: { cols: 81, rows: 25 } };
/** Reads what is typed as it is typed, without echo. */
const raw = "stty raw -echo; echo ready;";

eachTarget((guest) => {
  eachWire((wire) => {
    test("a terminal of the size asked for, with one stream for all output", async () => {
      const followed = start(guest(), "tty; stty size; echo err >&2; exit 2", { pty }, { wire });
      expect((await followed.ended).exitCode).toBe(2);
      expect(followed.text("pty")).toMatch(/^\/dev\/pts\/\d+\r\n25 81\r\nerr\r\n$/);
      expect([followed.text("stdout"), followed.text("stderr")]).toEqual(["", ""]);
    });

    test("another size is seen at once, and told by SIGWINCH", async () => {
      const { processes } = guest().as({ wire });
      const line = "trap 'stty size' WINCH; echo ready; while :; do sleep 1000 & wait $!; done";
      const followed = start(guest(), line, { pty }, { wire });
      await followed.prints("pty", "ready");
      const process = byPid(await followed.pid);
      await processes.update({ process, pty: { size: { cols: 132, rows: 43 } } });
      await followed.prints("pty", "43 132");
      await processes.sendSignal({ process, signal: 9 });
      await followed.ended;
    });

    test("what is typed comes back, ^C interrupts and ^D ends", async () => {
      const { processes } = guest().as({ wire });
      const followed = start(guest(), ["/bin/bash", "--norc", "-i"], { pty, envs: { PS1: "$ " } }, { wire });
      const process = byPid(await followed.pid);
      const type = (text: string) => processes.sendInput({ process, input: input("pty", text) });
      // What is typed while the shell does not wait for it is another story, which the terminal driver tells.
      const prompted = (after: string) =>
        followed.until(() => new RegExp(`${after}[^]*\\$ $`).test(followed.text("pty")));
      await prompted("");
      await type(`sh -c "trap 'exit 1' INT; echo up; while :; do sleep 0.1; done"\r`);
      await followed.prints("pty", "up\r\n");
      await type("\x03");
      await prompted("\\^C");
      await type("echo $((40+2))\r");
      await prompted("42\r\n");
      await type("\x04");
      expect((await followed.ended).exitCode).toBe(0);
    });

    test("a reader that comes later sees what nobody has seen, and the rest", async () => {
      const abort = new AbortController();
      const followed = start(
        guest(),
        `${raw} head -c 1; echo two; head -c 1; exit 7`,
        { pty },
        { wire },
        {
          signal: abort.signal,
        },
      );
      await followed.prints("pty", "ready");
      const pid = await followed.pid;
      abort.abort();
      await followed.ended.catch(() => {});
      const { processes } = guest().as({ wire });
      const second = connect(guest(), pid, undefined, { wire });
      await processes.sendInput({ process: byPid(pid), input: input("pty", "a") });
      await second.prints("pty", "atwo");
      await processes.sendInput({ process: byPid(pid), input: input("pty", "b") });
      expect((await second.ended).exitCode).toBe(7);
    });
  });

  test("a terminal's environment, unless the client sets it", async () => {
    const line = "echo $TERM $LANG";
    const plain = start(guest(), line, { pty });
    await plain.ended;
    expect(plain.text("pty")).toBe("xterm-256color C.UTF-8\r\n");
    const set = start(guest(), line, { pty, envs: { TERM: "dumb", LANG: "C" } });
    await set.ended;
    expect(set.text("pty")).toBe("dumb C\r\n");
  });

  test("a size is from 1 to 65535, and without one the terminal has the usual", async () => {
    for (const size of [
      { cols: 0, rows: 24 },
      { cols: 80, rows: 0 },
      { cols: 65_536, rows: 24 },
    ]) {
      await expectRefusal(start(guest(), "true", { pty: { size } }).ended, Code.InvalidArgument, "size");
    }
    const followed = start(guest(), "stty size", { pty: {} });
    await followed.ended;
    expect(followed.text("pty")).toBe("24 80\r\n");
  });

  test("a terminal has no stdin that could be closed", async () => {
    const { processes } = guest();
    const followed = start(guest(), `${raw} head -c 1`, { pty });
    await followed.prints("pty", "ready");
    const process = byPid(await followed.pid);
    await expectRefusal(processes.closeStdin({ process }), Code.FailedPrecondition);
    await expectRefusal(
      processes.sendInput({ process, input: input("stdin", "x") }),
      Code.FailedPrecondition,
      "stdin",
    );
    await processes.sendInput({ process, input: input("pty", "x") });
    await followed.ended;
  });

  test("typing burst: nothing is lost or out of order when it meets resizes, and a kill ends it", async () => {
    const { processes } = guest();
    const keys = Array.from({ length: 400 }, (_, key) => `${key}`.padStart(5, "0"));
    const line = `${raw} dd bs=1 count=${keys.length * 10} 2>/dev/null; echo; echo whole; exec sleep 1000`;
    const followed = start(guest(), line, { pty });
    await followed.prints("pty", "ready");
    const process = byPid(await followed.pid);
    const calls: Promise<unknown>[] = [];
    const resize = (number: number) =>
      calls.push(processes.update({ process, pty: { size: { cols: 80 + (number % 7), rows: 24 } } }));
    // One stream is in order. Calls that are under way at the same time have no order, but each is whole.
    async function* typed(): AsyncGenerator<MessageInitShape<typeof StreamInputRequestSchema>> {
      yield { event: { case: "start", value: { process } } };
      for (const [number, key] of keys.entries()) {
        if (number % 10 === 0) resize(number);
        yield { event: { case: "data", value: { input: input("pty", key) } } };
      }
    }
    await processes.streamInput(typed());
    await followed.until(() => followed.text("pty").length >= "ready\n".length + keys.length * 5);
    for (const [number, key] of keys.entries()) {
      if (number % 10 === 0) resize(number);
      calls.push(processes.sendInput({ process, input: input("pty", key) }));
    }
    await Promise.all(calls);
    await followed.prints("pty", "whole");
    const [, echoed = ""] = /ready\n(\d+)\nwhole/.exec(followed.text("pty").replaceAll("\r", "")) ?? [];
    expect(echoed.slice(0, keys.length * 5)).toBe(keys.join(""));
    expect(
      echoed
        .slice(keys.length * 5)
        .match(/.{5}/g)
        ?.sort(),
    ).toEqual(keys);

    // Nobody reads what is typed now: it fills the terminal, and the kill must not wait behind it.
    const stuck = Array.from({ length: 50 }, () =>
      processes
        .sendInput({ process, input: input("pty", "x".repeat(4_000)) })
        .catch((error: unknown) => error),
    );
    await processes.update({ process, pty: { size: { cols: 100, rows: 30 } } });
    await processes.sendSignal({ process, signal: 9 });
    expect(await followed.ended).toMatchObject({ status: "signal: killed" });
    await Promise.all(stuck);
  });

  test("output of a terminal is whole", async () => {
    const followed = start(guest(), "stty -opost; seq 1 200000", { pty });
    await followed.ended;
    expect(followed.text("pty")).toBe(
      Array.from({ length: 200_000 }, (_, index) => `${index + 1}\n`).join(""),
    );
  });
});
