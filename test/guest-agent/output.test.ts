import { createHash } from "node:crypto";
import { Code, ConnectError } from "@connectrpc/connect";
import { expect, test, vi } from "vitest";
import type { Followed } from "./support/followed.ts";
import type { Guest } from "./support/guest.ts";
import { byPid, connect, expectRefusal, start } from "./support/processes.ts";
import { eachTarget, eachWire } from "./support/targets.ts";

const mib = 1024 * 1024;
/**
 * How much is printed: `whole` to be read, and `flood`, which is more than the agent's ring and all the sockets on the way to a
 * reader that does not read ever hold. A capsule has no relay on its way, and may be emulated.
 */
function amounts(guest: Guest): { whole: number; flood: number } {
  if (guest.options.target === "bare") return { whole: 64 * mib, flood: 96 * mib };
  return { whole: 8 * mib, flood: 32 * mib };
}

/** Numbered lines, cut to a length: every part of them is unlike every other. */
function numbers(bytes: number): string {
  return `seq 1 100000000 | head -c ${bytes}`;
}

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}

async function expectedHash(guest: Guest, line: string): Promise<string> {
  return (await guest.output(`${line} | sha256sum`)).slice(0, 64);
}

/** Resolves when what a shell runs has stopped writing, with the bytes that it has written. */
async function stalledAfter(guest: Guest, pid: number): Promise<number> {
  let last = -1;
  const stalled = async () => {
    const written = Number(
      await guest.output(
        `for child in $(cat /proc/${pid}/task/*/children); do sed -n 's/^wchar: //p' /proc/$child/io; done | tail -n 1`,
        { user: "root" },
      ),
    );
    const same = written === last && written > 0;
    last = written;
    return same && written;
  };
  return await vi.waitUntil(stalled, { timeout: 60_000, interval: 250 });
}

eachTarget((guest) => {
  eachWire((wire) => {
    test("mebibytes arrive whole and in order", async () => {
      const line = numbers(amounts(guest()).whole);
      const followed = start(guest(), line, {}, { wire });
      await followed.ended;
      expect(sha256(followed.bytes("stdout"))).toBe(await expectedHash(guest(), line));
    });

    test("what is written in pieces, of any bytes, arrives as it was written", async () => {
      const followed = start(
        guest(),
        `printf '\\303'; sleep 0.01; printf '\\251\\000\\377'; printf 'e\\n' >&2`,
        {},
        { wire },
      );
      await followed.ended;
      expect(followed.bytes("stdout")).toEqual(Buffer.from([0xc3, 0xa9, 0, 0xff]));
      expect(followed.text("stderr")).toBe("e\n");
    });

    test("connect after exit: start, the rest of the output, and the end, as often as one asks", async () => {
      const abort = new AbortController();
      const followed = start(
        guest(),
        "echo seen; read line; echo unseen; exit 5",
        { stdin: true },
        { wire },
        {
          signal: abort.signal,
        },
      );
      await followed.prints("stdout", "seen\n");
      const pid = await followed.pid;
      abort.abort();
      await followed.ended.catch(() => {});
      const waiting = connect(guest(), pid, undefined, { wire });
      await waiting.pid;
      await guest().processes.closeStdin({ process: byPid(pid) });
      await waiting.ended;
      for (const extensions of [true, false]) {
        const late = connect(guest(), pid, undefined, { wire, extensions });
        expect([(await late.ended).exitCode, await late.pid]).toEqual([5, pid]);
        expect(late.gaps).toEqual([]);
      }
      const whole = connect(guest(), pid, { stdout: 0n }, { wire });
      await whole.ended;
      expect(whole.text("stdout")).toBe("seen\nunseen\n");
    });

    test("reconnect by offset: a reader goes on where it was cut off", async () => {
      const abort = new AbortController();
      const line = `${numbers(300_000)}; read line; ${numbers(200_000)}; echo last >&2`;
      const followed = start(guest(), line, { stdin: true }, { wire }, { signal: abort.signal });
      await followed.until(() => followed.bytes("stdout").length >= 300_000);
      const pid = await followed.pid;
      abort.abort();
      await followed.ended.catch(() => {});
      const parts = [followed.bytes("stdout").subarray(0, 123_457)];
      const second = connect(guest(), pid, { stdout: 123_457n }, { wire });
      await second.until(() => second.bytes("stdout").length === 300_000 - 123_457);
      await guest().processes.closeStdin({ process: byPid(pid) });
      await second.ended;
      parts.push(second.bytes("stdout"));
      expect([second.gaps, second.text("stderr")]).toEqual([[], "last\n"]);
      const expected = await guest().output(`(${numbers(300_000)}; ${numbers(200_000)}) | sha256sum`);
      expect(sha256(Buffer.concat(parts))).toBe(expected.slice(0, 64));
      let at = 123_457n;
      for (const event of second.events) {
        if (event.case !== "data" || event.value.output.case !== "stdout") continue;
        expect(event.value.offset).toBe(at);
        at += BigInt(event.value.output.value.length);
      }
      expect(at).toBe(500_000n);
      await expectRefusal(
        connect(guest(), pid, { stdout: 500_001n }, { wire }).ended,
        Code.InvalidArgument,
        "from",
      );
    });

    test("without extensions no frame has anything of ours", async () => {
      const followed = start(guest(), "echo out", {}, { wire, extensions: false });
      await followed.ended;
      const data = followed.events.filter((event) => event.case === "data");
      expect(data.map((event) => event.value.offset)).toEqual([undefined]);
    });
  });

  test("slow reader: the one that started the process holds it back, and loses nothing", async () => {
    const { processes } = guest();
    const { flood } = amounts(guest());
    const process = { cmd: "/bin/sh", args: ["-c", numbers(flood)] };
    const stream = processes.start({ process, stdin: false })[Symbol.asyncIterator]();
    const first = (await stream.next()).value?.event?.event;
    const pid = first?.case === "start" ? first.value.pid : 0;
    expect(await stalledAfter(guest(), pid)).toBeLessThan(flood / 2);
    const hash = createHash("sha256");
    let last: string | undefined;
    for (let next = await stream.next(); !next.done; next = await stream.next()) {
      const event = next.value.event?.event;
      if (event?.case === "data" && event.value.output.case === "stdout")
        hash.update(event.value.output.value);
      last = event?.case;
    }
    expect(last).toBe("end");
    expect(hash.digest("hex")).toBe(await expectedHash(guest(), numbers(flood)));
  });

  test("a reader that has gone does not block the process", async () => {
    const abort = new AbortController();
    const followed = start(
      guest(),
      `echo up; read line; ${numbers(8 * mib)}; exit 6`,
      { stdin: true },
      {},
      {
        signal: abort.signal,
      },
    );
    await followed.prints("stdout", "up");
    abort.abort();
    await followed.ended.catch(() => {});
    const pid = await followed.pid;
    await guest().processes.closeStdin({ process: byPid(pid) });
    expect((await connect(guest(), pid).ended).exitCode).toBe(6);
  });

  test("a later reader that does not read slows nobody, and is told what it missed", async () => {
    const { flood } = amounts(guest());
    const line = `read line; ${numbers(flood)}`;
    const followed = start(guest(), line, { stdin: true });
    const pid = await followed.pid;
    const open = async (extensions: boolean) => {
      const { processes } = guest().as({ extensions });
      const stream = processes.connect({ process: byPid(pid) })[Symbol.asyncIterator]();
      expect((await stream.next()).value?.event?.event.case).toBe("start");
      return { [Symbol.asyncIterator]: () => stream };
    };
    const [told, cut] = [await open(true), await open(false)];
    await guest().processes.closeStdin({ process: byPid(pid) });
    await followed.ended;

    const whole = followed.bytes("stdout");
    expect(whole.length).toBe(flood);
    let at = 0;
    const cases = new Set<string | undefined>();
    for await (const { event } of told) {
      const body = event?.event;
      cases.add(body?.case);
      if (body?.case === "gap") {
        expect(body.value).toMatchObject({ stream: 1, from: BigInt(at), reason: 1 });
        at = Number(body.value.to);
      }
      if (body?.case !== "data" || body.value.output.case !== "stdout") continue;
      const bytes = body.value.output.value;
      expect(body.value.offset).toBe(BigInt(at));
      expect(whole.subarray(at, at + bytes.length).equals(bytes)).toBe(true);
      at += bytes.length;
    }
    expect([at, [...cases]]).toEqual([flood, ["data", "gap", "end"]]);

    const lost = await (async () => {
      for await (const _ of cut);
    })().catch((error: unknown) => ConnectError.from(error));
    expect(lost).toMatchObject({ code: Code.DataLoss, rawMessage: expect.stringContaining("stdout") });
  });

  test("an offset that the buffer no longer holds begins with a gap, also after the end", async () => {
    const followed = start(guest(), `${numbers(3 * mib)}; read line`, { stdin: true });
    await followed.until(() => followed.bytes("stdout").length === 3 * mib);
    const pid = await followed.pid;
    const check = (reader: Followed) => {
      const [gap] = reader.gaps;
      expect(reader.events[1]?.case).toBe("gap");
      expect(gap).toMatchObject({ stream: 1, from: 7n, reason: 1 });
      const rest = followed.bytes("stdout").subarray(Number(gap?.to));
      expect(rest.length).toBeGreaterThan(0);
      expect(reader.bytes("stdout").equals(rest)).toBe(true);
    };
    const running = connect(guest(), pid, { stdout: 7n });
    await running.until(
      () => (running.gaps[0]?.to ?? 0n) + BigInt(running.bytes("stdout").length) === BigInt(3 * mib),
    );
    await guest().processes.closeStdin({ process: byPid(pid) });
    await Promise.all([running.ended, followed.ended]);
    check(running);
    const ended = connect(guest(), pid, { stdout: 7n });
    await ended.ended;
    check(ended);
  });

  test("a client that leaves does not end the process, and another goes on with what nobody has seen", async () => {
    const abort = new AbortController();
    const line = "echo one; read line; echo two; read line; echo three";
    const followed = start(guest(), line, { stdin: true }, {}, { signal: abort.signal });
    await followed.prints("stdout", "one\n");
    const pid = await followed.pid;
    abort.abort();
    await followed.ended.catch(() => {});
    const { processes } = guest();
    expect((await processes.list({})).processes.map((process) => process.pid)).toContain(pid);
    await processes.sendInput({
      process: byPid(pid),
      input: { input: { case: "stdin", value: Buffer.from("\n") } },
    });
    const second = connect(guest(), pid);
    await second.prints("stdout", "two\n");
    await processes.closeStdin({ process: byPid(pid) });
    await second.ended;
    expect(second.text("stdout")).toBe("two\nthree\n");
  });

  test("a background child that keeps the output open does not hold up the end", async () => {
    const followed = start(guest(), "sleep 1000 & echo $!; exit 3");
    expect((await followed.ended).exitCode).toBe(3);
    await guest().output(`kill ${followed.text("stdout")}`);
  });

  test("a silent stream says that it lives, as often as the client asks", async () => {
    const followed = start(
      guest(),
      "read line",
      { stdin: true },
      {},
      {
        headers: { "keepalive-ping-interval": "1" },
      },
    );
    await followed.until(() => followed.keepalives >= 2);
    await guest().processes.closeStdin({ process: byPid(await followed.pid) });
    await followed.ended;
  });
});
