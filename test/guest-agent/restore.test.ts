import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { Signal } from "@wrenn/contracts/process";
import { expect, test } from "vitest";
import { Followed } from "./support/followed.ts";
import type { Guest } from "./support/guest.ts";
import { cloneOf, init, mustInit, resumeOf } from "./support/restore.ts";
import { Session } from "./support/session.ts";
import { eachTarget, startGuest } from "./support/targets.ts";

/** Larger than those of the platform's own; each restore of a test is one more. */
let epoch = 100;

/** Milliseconds that the guest's clock is ahead of ours: at least, and at most. Each answer is as late as its way is long. */
async function clockOffset(guest: Guest): Promise<[least: number, most: number]> {
  const args = ["-c", "while read -r _; do echo $EPOCHREALTIME; done"];
  const clock = new Followed(guest.processes.start({ process: { cmd: "/bin/bash", args }, stdin: true }));
  const process = { selector: { case: "pid", value: await clock.pid } } as const;
  let [least, most] = [Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY];
  for (let asked = 1; asked <= 8; asked++) {
    const before = performance.timeOrigin + performance.now();
    await guest.processes.sendInput({
      process,
      input: { input: { case: "stdin", value: Buffer.from("\n") } },
    });
    await clock.until((followed) => followed.text("stdout").split("\n").length > asked);
    const after = performance.timeOrigin + performance.now();
    const then = 1000 * Number(clock.text("stdout").trim().split("\n").at(-1));
    [least, most] = [Math.max(least, then - after), Math.min(most, then - before)];
  }
  await guest.processes.closeStdin({ process });
  await clock.ended;
  return [least, most];
}

async function identityOf(guest: Guest): Promise<string[]> {
  const text = await guest.output("hostname; cat /etc/hostname /etc/machine-id; getent hosts $(hostname)");
  return text.trim().split("\n");
}

eachTarget((guest) => {
  test("a clock that jumped is right to within 100 ms after a resume, and can be set alone", async () => {
    for (const restored of [true, false]) {
      for (const jump of ["@86400", "@2000000000"]) {
        await guest().output(`date -s ${jump}`);
        await mustInit(guest(), restored ? resumeOf(++epoch) : { timestamp: new Date().toISOString() });
        const [least, most] = await clockOffset(guest());
        expect(most).toBeGreaterThan(-100);
        expect(least).toBeLessThan(100);
      }
    }
  });

  test("a connection from outside is reset, and a program and its database talk on", async () => {
    const server = new Followed(
      guest().processes.start({
        process: {
          cmd: "/usr/bin/socat",
          args: ["-d", "-d", "TCP6-LISTEN:5000,ipv6only=0,fork", "EXEC:cat"],
        },
        stdin: false,
      }),
    );
    await server.prints("stderr", "listening");
    const outside = await connected(guest(), 5000);
    const local = ["127.0.0.1", "[::1]", "169.254.0.21"].map((address) => speaker(guest(), address));
    for (const { followed, say } of local) await say(await followed.pid, "before");

    const reset = once(outside, "error");
    await mustInit(guest(), resumeOf(++epoch));
    expect((await reset)[0]).toMatchObject({ code: "ECONNRESET" });
    // The streams were connections from outside as well; the processes are there.
    for (const { followed, say } of local) {
      const pid = await followed.pid;
      await expect(followed.ended).rejects.toThrow();
      await say(pid, "after");
    }
    const fresh = await connected(guest(), 5000);
    fresh.destroy();
    const served = { selector: { case: "pid", value: await server.pid } } as const;
    await guest().processes.sendSignal({ process: served, signal: Signal.SIGKILL });
  });

  test("a clone has a name, a machine id and a token of its own, and nothing of what the other was told", async () => {
    await mustInit(guest(), { envVars: { SECRET: "1" }, defaultUser: "user", defaultWorkdir: "/tmp" });
    const former = guest().token;
    await guest().output("cp /run/hosts /run/hosts.before; echo '10.1.2.3 friend' >>/etc/hosts", {
      user: "root",
    });
    const clone = cloneOf(++epoch, "a-clone");
    await mustInit(guest(), { ...clone, envVars: { OWN: "2" } });
    const [hostname, file, machineId, hosts] = await identityOf(guest());
    expect([hostname, file, machineId]).toEqual(["a-clone", "a-clone", clone.machineId]);
    expect(hosts).toMatch(/^127\.0\.0\.1 .*a-clone/);
    expect(await guest().output("getent hosts friend")).toContain("10.1.2.3");
    expect(await guest().output('echo "$SECRET $OWN"; id -un; pwd')).toBe(" 2\nroot\n/root\n");
    expect((await guest().fetch("/envs", {}, { token: former })).status).toBe(401);
    // Its identity is memory: the disk has links that lead there.
    expect(await guest().output("readlink /etc/hostname /etc/machine-id /etc/hosts")).toBe(
      "/run/hostname\n/run/machine-id\n/run/hosts\n",
    );
    expect(await guest().output("find /run /etc -xdev -name '.wrenn*'")).toBe("");
  });

  test("two capsules of one snapshot have nothing alike that others could tell them by", async () => {
    await using stack = new AsyncDisposableStack();
    const twins = [await startGuest(stack, "capsule"), await startGuest(stack, "capsule")];
    const lines = "hostname; cat /etc/machine-id /proc/sys/kernel/random/uuid; od -An -tx1 -N32 /dev/urandom";
    const [one = [], two = []] = await Promise.all(
      twins.map(async (twin) => (await twin.output(lines)).trim().split("\n")),
    );
    expect(one).toHaveLength(5);
    for (const [index, line] of one.entries()) expect(line).not.toBe(two[index]);
  });

  test("one epoch is applied once, and an older one is refused", async () => {
    const clone = cloneOf(++epoch, "the-first");
    await mustInit(guest(), clone);
    await mustInit(guest(), { ...cloneOf(epoch, "the-second"), accessToken: guest().token });
    expect((await identityOf(guest()))[0]).toBe("the-first");
    const older = await init(guest(), cloneOf(epoch - 1, "the-third"));
    expect(older.status).toBe(409);
    expect(await older.text()).toContain("restoreEpoch: ");
    expect((await identityOf(guest()))[0]).toBe("the-first");
    expect((await guest().fetch("/envs")).status).toBe(200);
  });

  test("requests of one epoch that come together are applied once", async () => {
    epoch += 1;
    const clones = Array.from({ length: 4 }, (_, index) => cloneOf(epoch, `together-${index}`));
    const former = guest().token;
    await using stack = new AsyncDisposableStack();
    const together = stack.use(new Session(guest().baseUrl));
    const statuses = clones.map((clone) => together.post("/init", former, clone));
    expect(await Promise.all(statuses)).toEqual([204, 204, 204, 204]);
    // The ones that came later found it done, and their tokens were not taken.
    const opens = await Promise.all(
      clones.map(async ({ accessToken }) => await together.get("/envs", `${accessToken}`)),
    );
    expect(opens.filter((status) => status === 200)).toHaveLength(1);
    const applied = clones[opens.indexOf(200)];
    guest().token = `${applied?.accessToken}`;
    expect((await identityOf(guest()))[0]).toBe(applied?.hostname);
  });

  test("a clone that cannot be completed leaves the computer that was, and can be repeated", async () => {
    await mustInit(guest(), cloneOf(++epoch, "before"));
    const before = await identityOf(guest());
    await guest().output("mv /run/hosts /run/hosts.kept; mkfifo /run/hosts");
    const clone = cloneOf(++epoch, "after");
    const response = await init(guest(), clone);
    expect(response.status).toBe(500);
    expect(await response.text()).toContain("/etc/hosts: ");
    await guest().output("mv /run/hosts.kept /run/hosts");
    expect(await identityOf(guest())).toEqual(before);
    await mustInit(guest(), clone);
    expect((await identityOf(guest()))[0]).toBe("after");
  });

  test("host keys of SSH are new in a clone, and a clone that would share them is refused", async () => {
    const key = "/etc/ssh/ssh_host_ed25519_key";
    await guest().output(`mkdir -p /etc/ssh; echo shared >${key}; echo shared >${key}.pub; chmod 600 ${key}`);
    const clone = cloneOf(++epoch, "with-keys");
    const response = await init(guest(), clone);
    expect(response.status).toBe(500);
    expect(await response.text()).toContain("ssh host keys: ");
    expect(await guest().output(`cat ${key} ${key}.pub; ls -A /etc/ssh`)).toBe(
      "shared\nshared\nssh_host_ed25519_key\nssh_host_ed25519_key.pub\n",
    );

    const keygen = '#!/bin/sh\nfor file; do :; done\numask 077; echo "$@" >$file; echo public >$file.pub\n';
    await guest().fetch("/files?path=/usr/local/bin/ssh-keygen", {
      method: "POST",
      headers: { "content-type": "application/octet-stream" },
      body: keygen,
    });
    await guest().output("chmod 755 /usr/local/bin/ssh-keygen");
    await mustInit(guest(), clone);
    expect(await guest().output(`cat ${key}`)).toMatch(/^-q -t ed25519 -N {2}-C root@with-keys -f /);
    expect(await guest().output(`cat ${key}.pub; stat -c %a ${key}; ls -A /etc/ssh`)).toBe(
      "public\n600\nssh_host_ed25519_key\nssh_host_ed25519_key.pub\n",
    );
    await guest().output("rm -r /etc/ssh /usr/local/bin/ssh-keygen");
  });
}, "capsule");

async function connected(guest: Guest, port: number): Promise<Socket> {
  const socket = connect({ host: new URL(guest.baseUrl).hostname, port });
  await once(socket, "connect");
  socket.write("hello\n");
  await once(socket, "data");
  return socket;
}

/** A program of the guest's that talks to its own port 5000, at an address of the guest's. */
function speaker(guest: Guest, address: string) {
  const process = { cmd: "/usr/bin/socat", args: ["-", `TCP:${address}:5000`] };
  const followed = new Followed(guest.processes.start({ process, stdin: true }));
  /** Says a word over the connection, and hears it. */
  const say = async (pid: number, word: string): Promise<void> => {
    const selected = { selector: { case: "pid", value: pid } } as const;
    const heard = new Followed(guest.processes.connect({ process: selected }));
    await heard.pid;
    const input = { input: { case: "stdin", value: Buffer.from(`${word}\n`) } } as const;
    await guest.processes.sendInput({ process: selected, input });
    await heard.prints("stdout", `${word}\n`);
  };
  return { followed, say };
}
