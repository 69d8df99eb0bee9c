import { expect, test } from "vitest";
import { connectSdk, eachSdk } from "./support/e2b.ts";
import { eachTarget } from "./support/targets.ts";

eachTarget((guest) => {
  eachSdk(guest, (sandbox, sdk) => {
    test("it runs, and a wrong token is refused", async () => {
      expect(await sandbox().isRunning()).toBe(true);
      const stranger = await connectSdk(guest(), sdk, "wrong");
      await expect(stranger.commands.run("true")).rejects.toThrow(sdk.AuthenticationError);
      await expect(stranger.files.read("/etc/passwd")).rejects.toThrow(sdk.AuthenticationError);
    });

    test("a command in the foreground: both outputs, as they come and at the end", async () => {
      const pieces: string[] = [];
      const result = await sandbox().commands.run("echo out; echo é >&2", {
        onStdout: (text) => void pieces.push(`1${text}`),
        onStderr: (text) => void pieces.push(`2${text}`),
      });
      expect(result).toMatchObject({ exitCode: 0, stdout: "out\n", stderr: "é\n" });
      expect(pieces.sort()).toEqual(["1out\n", "2é\n"]);
    });

    test("a command that fails throws with its exit code", async () => {
      const failed = await sandbox()
        .commands.run("echo out; echo err >&2; exit 42")
        .catch((error: unknown) => error);
      expect(failed).toBeInstanceOf(sdk.CommandExitError);
      expect(failed).toMatchObject({ exitCode: 42, stdout: "out\n", stderr: "err\n" });
    });

    test("environment, working directory and user", async ({ skip }) => {
      const { commands } = sandbox();
      const { stdout } = await commands.run("echo $A $B; pwd", { envs: { A: "a b", B: "é" }, cwd: "/tmp" });
      expect(stdout).toBe("a b é\n/tmp\n");
      await expect(commands.run("true", { cwd: "/no/such" })).rejects.toThrow(sdk.SandboxError);
      await expect(commands.run("true", { user: "no-such-user" })).rejects.toThrow(sdk.AuthenticationError);
      expect((await commands.run("id -un; pwd", { user: "root" })).stdout).toBe("root\n/root\n");
      skip(!guest().options.otherUsers, "without root there is one user");
      expect((await commands.run("id -un; pwd", { user: "user" })).stdout).toBe("user\n/home/user\n");
    });

    test("a command in the background: input, end of file, and the wait for its end", async () => {
      const command = await sandbox().commands.run("cat; exit 3", { background: true, stdin: true });
      await command.sendStdin("one ");
      await command.sendStdin(new TextEncoder().encode("two"));
      await command.closeStdin();
      const result = await command.wait().catch((error: unknown) => error);
      expect(result).toMatchObject({ exitCode: 3, stdout: "one two" });
    });

    test("it is listed, found by another client, and killed", async () => {
      const { commands } = sandbox();
      const command = await commands.run("echo up; sleep 1000", { background: true });
      const listed = (await commands.list()).find(({ pid }) => pid === command.pid);
      expect(listed).toMatchObject({ cmd: "/bin/bash", args: ["-l", "-c", "echo up; sleep 1000"] });
      const other = await (await connectSdk(guest(), sdk, guest().token)).commands.connect(command.pid);
      expect(await commands.kill(command.pid)).toBe(true);
      for (const handle of [command, other]) {
        const ended = await handle.wait().catch((error: unknown) => error);
        expect(ended).toMatchObject({ exitCode: -1, error: "signal: killed" });
      }
      expect(await commands.kill(command.pid)).toBe(false);
      expect((await commands.list()).map(({ pid }) => pid)).not.toContain(command.pid);
    });

    test("a client that disconnects leaves it running, and comes back to it", async () => {
      const { commands } = sandbox();
      const command = await commands.run("read line; echo got $line", { background: true, stdin: true });
      await command.disconnect();
      const { promise: seen, resolve } = Promise.withResolvers<void>();
      const again = await commands.connect(command.pid, { onStdout: () => resolve() });
      await commands.sendStdin(command.pid, "this\n");
      await seen;
      expect(await again.wait()).toMatchObject({ exitCode: 0, stdout: "got this\n" });
    });

    test("a command that takes longer than its time is ended, and the client told so", async () => {
      const { commands } = sandbox();
      const late = commands.run("sleep 1234", { timeoutMs: 500 });
      await expect(late).rejects.toThrow(sdk.TimeoutError);
      await expect
        .poll(async () => (await commands.list()).map(({ args }) => args.at(-1)))
        .not.toContain("sleep 1234");
    });

    test("ten megabytes of output come whole", async () => {
      const { stdout } = await sandbox().commands.run("seq 1 1400000");
      expect(stdout.length).toBe(
        Array.from({ length: 1_400_000 }, (_, n) => `${n + 1}`.length + 1).reduce((a, b) => a + b),
      );
      expect(stdout.endsWith("\n1399999\n1400000\n")).toBe(true);
    });
  });
});
