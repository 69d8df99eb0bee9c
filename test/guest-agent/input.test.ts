import { createHash } from "node:crypto";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Code } from "@connectrpc/connect";
import type { StreamInputRequestSchema } from "@wrenn/contracts/process";
import { expect, test } from "vitest";
import { byPid, expectRefusal, input, start } from "./support/processes.ts";
import { eachTarget, eachWire } from "./support/targets.ts";

type StreamInput = MessageInitShape<typeof StreamInputRequestSchema>;

const select = (pid: number): StreamInput => ({ event: { case: "start", value: { process: byPid(pid) } } });
const data = (text: string | Uint8Array): StreamInput => ({
  event: { case: "data", value: { input: input("stdin", text) } },
});

eachTarget((guest) => {
  eachWire((wire) => {
    test("input arrives in order, up to the end of file", async () => {
      const { processes } = guest().as({ wire });
      const followed = start(guest(), "cat", { stdin: true }, { wire });
      const process = byPid(await followed.pid);
      for (const text of ["one ", "two ", "", "three"])
        await processes.sendInput({ process, input: input("stdin", text) });
      await followed.prints("stdout", "one two three");
      await processes.closeStdin({ process });
      expect((await followed.ended).exitCode).toBe(0);
      expect(followed.text("stdout")).toBe("one two three");
    });

    test("a stream of input is taken in order, as fast as the process reads", async () => {
      const { processes } = guest().as({ wire });
      const followed = start(guest(), "sha256sum", { stdin: true }, { wire });
      const pid = await followed.pid;
      const hash = createHash("sha256");
      async function* messages(): AsyncGenerator<StreamInput> {
        yield select(pid);
        for (let number = 0; number < 200; number++) {
          const bytes = Buffer.alloc(40_000, `${number} `);
          hash.update(bytes);
          yield data(bytes);
          if (number % 50 === 0) yield { event: { case: "keepalive", value: {} } };
        }
      }
      await processes.streamInput(messages());
      await processes.closeStdin({ process: byPid(pid) });
      await followed.ended;
      expect(followed.text("stdout")).toBe(`${hash.digest("hex")}  -\n`);
    });

    test("a stream of input begins with the process it is for", async () => {
      const { processes } = guest().as({ wire });
      const followed = start(guest(), "cat", { stdin: true }, { wire });
      const pid = await followed.pid;
      for (const [first, code, names] of [
        [data("x"), Code.InvalidArgument, "start"],
        [select(4_000_000), Code.NotFound, "4000000"],
      ] as const) {
        async function* messages(): AsyncGenerator<StreamInput> {
          yield first;
        }
        await expectRefusal(processes.streamInput(messages()), code, names);
      }
      async function* nothing(): AsyncGenerator<StreamInput> {}
      await expectRefusal(processes.streamInput(nothing()), Code.InvalidArgument);
      await processes.closeStdin({ process: byPid(pid) });
      await followed.ended;
      expect(followed.text("stdout")).toBe("");
    });
  });

  test("without stdin a process reads the end at once", async () => {
    const followed = start(guest(), "cat; echo done");
    await followed.ended;
    expect(followed.text("stdout")).toBe("done\n");
    const { processes } = guest();
    const waiting = start(guest(), "sleep 1000");
    const process = byPid(await waiting.pid);
    await expectRefusal(
      processes.sendInput({ process, input: input("stdin", "x") }),
      Code.FailedPrecondition,
    );
    await expectRefusal(processes.closeStdin({ process }), Code.FailedPrecondition);
    await processes.sendSignal({ process, signal: 9 });
    await waiting.ended;
  });

  test("each kind of input goes where there is one", async () => {
    const { processes } = guest();
    const followed = start(guest(), "sleep 1000", { stdin: true });
    const process = byPid(await followed.pid);
    await expectRefusal(
      processes.sendInput({ process, input: input("pty", "x") }),
      Code.FailedPrecondition,
      "pty",
    );
    await expectRefusal(processes.sendInput({ process }), Code.InvalidArgument, "input");
    await expectRefusal(
      processes.update({ process, pty: { size: { cols: 80, rows: 24 } } }),
      Code.FailedPrecondition,
      "pty",
    );
    await processes.closeStdin({ process });
    await expectRefusal(
      processes.sendInput({ process, input: input("stdin", "x") }),
      Code.FailedPrecondition,
    );
    await processes.sendSignal({ process, signal: 9 });
    await followed.ended;
    await expectRefusal(processes.sendInput({ process, input: input("stdin", "x") }), Code.NotFound, "ended");
  });

  test("a process that takes no input holds up nobody, and a kill passes what waits", async () => {
    const { processes } = guest();
    const followed = start(guest(), "echo up; exec sleep 1000", { stdin: true });
    await followed.prints("stdout", "up");
    const process = byPid(await followed.pid);
    // More than any pipe holds.
    const waiting = [1, 2, 3].map(() =>
      processes.sendInput({ process, input: input("stdin", Buffer.alloc(2 * 1024 * 1024)) }),
    );
    // Whether the process or its input is seen to end first.
    const refused = Promise.all(
      waiting.map((call) => expectRefusal(call, [Code.NotFound, Code.FailedPrecondition])),
    );
    expect(await guest().output("echo other")).toBe("other\n");
    expect((await guest().fetch("/health")).status).toBe(204);
    await processes.sendSignal({ process, signal: 9 });
    expect(await followed.ended).toMatchObject({ status: "signal: killed" });
    await refused;
  });

  test("input that waits when the process closes its end is refused, and the process goes on", async () => {
    const { processes } = guest();
    const followed = start(guest(), "exec 0<&-; echo closed; sleep 1000", { stdin: true });
    await followed.prints("stdout", "closed");
    const process = byPid(await followed.pid);
    await expectRefusal(
      processes.sendInput({ process, input: input("stdin", "x") }),
      Code.FailedPrecondition,
    );
    await processes.sendSignal({ process, signal: 9 });
    await followed.ended;
  });
});
