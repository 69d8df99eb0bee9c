import { createHash, type Hash } from "node:crypto";
import { Readable } from "node:stream";
import { expect, test } from "vitest";
import { MIB } from "../support/content.ts";
import { exchange, filesPath } from "../support/exchange.ts";
import { eachTarget } from "../support/targets.ts";

const mebibytes = 4 * 1024 + 1;

/** No two pieces are the same; they are hashed as they go. */
function* pieces(hash: Hash): Generator<Buffer> {
  for (let index = 0; index < mebibytes; index += 1) {
    const piece = Buffer.alloc(MIB, index % 251);
    piece.writeUInt32LE(index);
    hash.update(piece);
    yield piece;
  }
}

// The disk of a capsule has no room for it.
eachTarget((guest) => {
  test("4 GiB go up, are composed and come down again, unchanged and at constant memory", async () => {
    const sent = createHash("sha256");
    const body = Readable.from(pieces(sent));
    const headers = { "content-type": "application/octet-stream" };
    await guest().output("echo 5 >/proc/$PPID/clear_refs");
    const path = "/var/tmp/part";
    expect((await exchange(guest(), filesPath({ path }), { method: "POST", headers, body })).status).toBe(
      200,
    );
    const composed = JSON.stringify({ source_paths: [path], destination: "/var/tmp/whole" });
    expect((await guest().fetch("/files/compose", { method: "POST", body: composed })).status).toBe(200);

    const received = createHash("sha256");
    const response = await guest().fetch(filesPath({ path: "/var/tmp/whole" }), {
      headers: { "accept-encoding": "identity" },
    });
    expect(response.headers.get("content-length")).toBe(`${mebibytes * MIB}`);
    for await (const piece of response.body ?? []) received.update(piece);
    expect(received.digest("hex")).toBe(sent.digest("hex"));
    const peak = await guest().output("sed -n 's/VmHWM: *\\([0-9]*\\) kB/\\1/p' /proc/$PPID/status");
    expect(Number(peak)).toBeLessThan(16 << 10);
  });
}, "bare");
