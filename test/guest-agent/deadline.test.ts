import { Code } from "@connectrpc/connect";
import { expect, test } from "vitest";
import { connect, expectRefusal, start } from "./support/processes.ts";
import { eachTarget, eachWire } from "./support/targets.ts";

/** The client's own timer stays out of it: what is under test is the agent's. */
function deadline(ms: number): { headers: Record<string, string> } {
  return { headers: { "connect-timeout-ms": `${ms}` } };
}

/** A process whose child, in the same group, prints its pid. `trap` is what both do on a signal. */
const tree = (trap: string) => `${trap} sh -c '${trap} echo $$; while :; do sleep 100; done' & wait; wait`;

eachTarget((guest) => {
  eachWire((wire) => {
    test("the deadline ends the whole group and answers deadline_exceeded", async () => {
      const followed = start(guest(), tree(""), {}, { wire }, deadline(500));
      await expectRefusal(followed.ended, Code.DeadlineExceeded);
      const [pid, child] = [await followed.pid, Number(followed.text("stdout"))];
      expect(child).toBeGreaterThan(0);
      expect(await guest().output(`kill -0 ${child} 2>/dev/null || echo gone`)).toBe("gone\n");
      const late = await connect(guest(), pid, undefined, { wire }).ended;
      expect(late).toMatchObject({ exited: false, exitCode: -1, status: "signal: terminated" });
    });
  });

  test("a group that ignores TERM is killed", async () => {
    const followed = start(guest(), tree("trap : TERM;"), {}, {}, deadline(500));
    await expectRefusal(followed.ended, Code.DeadlineExceeded);
    const child = Number(followed.text("stdout"));
    expect(child).toBeGreaterThan(0);
    expect(await guest().output(`kill -0 ${child} 2>/dev/null || echo gone`)).toBe("gone\n");
    const late = await connect(guest(), await followed.pid).ended;
    expect(late).toMatchObject({ status: "signal: killed", exited: false });
  });

  test("the deadline holds when the client is gone", async () => {
    const abort = new AbortController();
    const followed = start(
      guest(),
      "echo up; sleep 1000",
      {},
      {},
      { ...deadline(800), signal: abort.signal },
    );
    await followed.prints("stdout", "up");
    abort.abort();
    const late = connect(guest(), await followed.pid);
    expect(await late.ended).toMatchObject({ status: "signal: terminated" });
  });

  test("a deadline of connect ends that stream and not the process", async () => {
    const followed = start(guest(), "read line; exit 9", { stdin: true });
    const pid = await followed.pid;
    await expectRefusal(connect(guest(), pid, undefined, {}, deadline(200)).ended, Code.DeadlineExceeded);
    await guest().processes.closeStdin({ process: { selector: { case: "pid", value: pid } } });
    expect((await followed.ended).exitCode).toBe(9);
  });

  test("a process within its time ends as it does without", async () => {
    expect((await start(guest(), "exit 3", {}, {}, deadline(60_000)).ended).exitCode).toBe(3);
  });
});
