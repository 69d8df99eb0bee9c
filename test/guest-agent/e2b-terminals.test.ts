import { expect, test } from "vitest";
import { eachSdk, type Sandbox } from "./support/e2b.ts";
import { eachTarget } from "./support/targets.ts";

/** What a terminal shows, and a way to wait for it. */
class Screen {
  text = "";
  #check = (): void => {};

  readonly onData = (data: Uint8Array): void => {
    this.text += Buffer.from(data).toString("latin1");
    this.#check();
  };

  async shows(pattern: RegExp): Promise<void> {
    const { promise, resolve } = Promise.withResolvers<void>();
    this.#check = () => pattern.test(this.text) && resolve();
    this.#check();
    await promise;
  }
}

async function open(sandbox: Sandbox): Promise<{ screen: Screen; pid: number; ended: Promise<unknown> }> {
  const screen = new Screen();
  const handle = await sandbox.pty.create({
    ...{ cols: 81, rows: 25, user: "root", cwd: "/tmp", envs: { PS1: "> " } },
    ...{ onData: screen.onData, timeoutMs: 0 },
  });
  const ended = handle.wait().catch((error: unknown) => error);
  return { screen, pid: handle.pid, ended };
}

const type = async (sandbox: Sandbox, pid: number, text: string): Promise<void> =>
  await sandbox.pty.sendInput(pid, new TextEncoder().encode(text));

eachTarget((guest) => {
  eachSdk(guest, (sandbox) => {
    test("a terminal takes input, a new size, and the end of input", async () => {
      const { screen, pid, ended } = await open(sandbox());
      await type(sandbox(), pid, "echo $TERM; stty size; pwd\n");
      await screen.shows(/xterm-256color\r\n25 81\r\n\/tmp\r\n/);
      await sandbox().pty.resize(pid, { cols: 132, rows: 43 });
      await type(sandbox(), pid, "stty size\n");
      await screen.shows(/43 132\r\n/);
      await type(sandbox(), pid, "exit 5\n");
      expect(await ended).toMatchObject({ exitCode: 5 });
    });

    test("a client that comes back goes on with the same terminal", async () => {
      const { screen, pid } = await open(sandbox());
      await type(sandbox(), pid, "A=kept; echo ready:\n");
      await screen.shows(/ready:\r\n/);
      const second = new Screen();
      const again = await sandbox().pty.connect(pid, { onData: second.onData, timeoutMs: 0 });
      const ended = again.wait().catch((error: unknown) => error);
      await type(sandbox(), pid, "echo still $A\n");
      await second.shows(/still kept\r\n/);
      expect(await sandbox().pty.kill(pid)).toBe(true);
      expect(await ended).toMatchObject({ error: "signal: killed" });
      expect(await sandbox().pty.kill(pid)).toBe(false);
    });
  });
});
