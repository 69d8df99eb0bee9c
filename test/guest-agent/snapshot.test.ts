import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { expect, test } from "vitest";
import { Followed } from "./support/followed.ts";
import type { Guest } from "./support/guest.ts";
import { eachTarget } from "./support/targets.ts";

async function prepare(guest: Guest): Promise<Response> {
  return await guest.fetch("/snapshot/prepare", { method: "POST" });
}

/** A connection that has had one answer and waits for another request. */
async function idleConnection(guest: Guest): Promise<Socket> {
  const { hostname, port } = new URL(guest.baseUrl);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.write("GET /health HTTP/1.1\r\nhost: guest\r\n\r\n");
  const [answer] = (await once(socket, "data")) as [Buffer];
  expect(answer.toString("latin1")).toMatch(/^HTTP\/1.1 204 /);
  return socket;
}

eachTarget((guest) => {
  test("before a snapshot, connections that have nothing to do are closed", async () => {
    const idle = await Promise.all([idleConnection(guest()), idleConnection(guest())]);
    const closed = idle.map((socket) => once(socket.resume(), "end"));
    const response = await prepare(guest());
    expect(response.status).toBe(204);
    // Its own as well, once it is answered.
    expect(response.headers.get("connection")).toBe("close");
    await Promise.all(closed);
  });

  test("before a snapshot, what is in progress goes on", async () => {
    const { processes } = guest();
    const followed = new Followed(
      processes.start({ process: { cmd: "/bin/sh", args: ["-c", "echo ready; cat"] }, stdin: true }),
    );
    await followed.prints("stdout", "ready\n");
    expect((await prepare(guest())).status).toBe(204);
    const process = { selector: { case: "pid", value: await followed.pid } } as const;
    const input = { input: { case: "stdin", value: Buffer.from("still here\n") } } as const;
    await processes.sendInput({ process, input });
    await followed.prints("stdout", "still here\n");
    await processes.closeStdin({ process });
    expect((await followed.ended).exitCode).toBe(0);
  });

  test("before a snapshot, what was written reaches the disk", async ({ skip }) => {
    skip(guest().options.target === "bare", "the disk's cache is that of the whole machine");
    await guest().output("head -c 32M /dev/zero >/var/tmp/dirty");
    await prepare(guest());
    const dirty = await guest().output("sed -n 's/^Dirty: *\\([0-9]*\\) kB/\\1/p' /proc/meminfo");
    await guest().output("rm /var/tmp/dirty");
    expect(Number(dirty)).toBeLessThan(1024);
  });

  test("it is not for strangers", async () => {
    const strange = { token: undefined };
    expect((await guest().fetch("/snapshot/prepare", { method: "POST" }, strange)).status).toBe(401);
    expect((await guest().fetch("/snapshot/prepare")).status).toBe(405);
  });
});
