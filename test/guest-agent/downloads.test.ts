import { connect as connectHttp2, constants } from "node:http2";
import { gunzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { pieces, sha256 } from "./support/content.ts";
import { type Answer, exchange, filesPath, put } from "./support/exchange.ts";
import type { Guest } from "./support/guest.ts";
import { eachTarget } from "./support/targets.ts";

async function get(guest: Guest, path: string, headers: Record<string, string> = {}): Promise<Answer> {
  return await exchange(guest, filesPath({ path }), { headers });
}

function header({ headers }: Answer, name: string): string {
  const value = headers[name];
  if (typeof value !== "string") throw new Error(`no ${name}: ${JSON.stringify(headers)}`);
  return value;
}

const forgetPeak = "echo 5 >/proc/$PPID/clear_refs";
const peak = "sed -n 's/VmHWM: *\\([0-9]*\\) kB/\\1/p' /proc/$PPID/status";

eachTarget((guest) => {
  test("16 MiB come down, as they are and compressed, at constant memory", async () => {
    await put(guest(), "/var/tmp/large", Buffer.concat([...pieces(16)]));
    const expected = sha256(pieces(16));
    for (const encoding of ["identity", "gzip"]) {
      await guest().output(forgetPeak);
      const answer = await get(guest(), "/var/tmp/large", { "accept-encoding": encoding });
      const plain = encoding === "gzip" ? gunzipSync(answer.body) : answer.body;
      expect(sha256([plain])).toBe(expected);
      expect(answer.headers["content-length"]).toBe(encoding === "gzip" ? undefined : `${16 << 20}`);
      expect(Number(await guest().output(peak))).toBeLessThan(16 << 10);
    }
    await guest().output("rm /var/tmp/large");
  });

  test("headers say what the file is, whatever bytes its name has", async () => {
    for (const [name, type, disposition] of [
      ["a b.txt", "text/plain; charset=utf-8", 'inline; filename="a b.txt"'],
      ["x.JSON", "application/json", 'inline; filename="x.JSON"'],
      ["none", "application/octet-stream", 'inline; filename="none"'],
      [
        'é"\\\r\n\x01.png',
        "image/png",
        "inline; filename=\"______.png\"; filename*=UTF-8''%C3%A9%22%5C%0D%0A%01.png",
      ],
    ] as const) {
      await put(guest(), `/tmp/names/${name}`, "content");
      const answer = await get(guest(), `/tmp/names/${name}`);
      expect(answer.body.toString()).toBe("content");
      expect(answer.headers).toMatchObject({
        "content-type": type,
        "content-disposition": disposition,
        "content-length": "7",
        "accept-ranges": "bytes",
        vary: "Accept-Encoding",
        etag: expect.stringMatching(/^"[^"]+"$/),
        "last-modified": expect.stringMatching(/ GMT$/),
      });
    }
  });

  test("a range is answered in part, one that is not there with 416, and what is none with the whole", async () => {
    await put(guest(), "/tmp/ten", "0123456789");
    for (const [range, status, body, shown] of [
      ["bytes=0-0", 206, "0", "bytes 0-0/10"],
      ["bytes=3-", 206, "3456789", "bytes 3-9/10"],
      ["bytes=-3", 206, "789", "bytes 7-9/10"],
      ["bytes=8-99", 206, "89", "bytes 8-9/10"],
      ["bytes=10-", 416, undefined, "bytes */10"],
      ["bytes=-0", 416, undefined, "bytes */10"],
      ["bytes=0-1,4-5", 200, "0123456789", undefined],
      ["bytes=5-4", 200, "0123456789", undefined],
      ["lines=1-2", 200, "0123456789", undefined],
    ] as const) {
      const answer = await get(guest(), "/tmp/ten", { range, "accept-encoding": "gzip" });
      expect([answer.status, answer.headers["content-range"]], range).toEqual([status, shown]);
      if (body === undefined) expect(JSON.parse(answer.body.toString()).code).toBe(416);
      else expect(answer.body.toString(), range).toBe(body);
      expect(answer.headers["content-encoding"]).toBeUndefined();
    }
  });

  test("ranges reach beyond 4 GiB", async () => {
    await guest().output("truncate -s 5G /var/tmp/sparse; printf end >>/var/tmp/sparse");
    const size = 5 * 2 ** 30 + 3;
    const head = await exchange(guest(), filesPath({ path: "/var/tmp/sparse" }), { method: "HEAD" });
    expect([head.status, header(head, "content-length"), head.body.length]).toEqual([200, `${size}`, 0]);
    const part = await get(guest(), "/var/tmp/sparse", { range: `bytes=${2 ** 32 + 2 ** 30 - 2}-` });
    expect([part.status, part.body.toString()]).toEqual([206, "\0\0end"]);
    expect(header(part, "content-range")).toBe(`bytes ${size - 5}-${size - 1}/${size}`);
    const middle = await get(guest(), "/var/tmp/sparse", {
      range: `bytes=${2 ** 32}-${2 ** 32 + 2 ** 20 - 1}`,
    });
    expect(middle.body.equals(Buffer.alloc(2 ** 20))).toBe(true);
    await guest().output("rm /var/tmp/sparse");
  });

  test("a copy that is still good is not sent again, and a range of another state neither", async () => {
    await put(guest(), "/tmp/state", "old content");
    const first = await get(guest(), "/tmp/state");
    const [etag, date] = [header(first, "etag"), header(first, "last-modified")];
    const past = "Thu, 01 Jan 1970 00:00:00 GMT";
    const cases = async (list: readonly [Record<string, string>, number][]): Promise<void> => {
      for (const [headers, status] of list) {
        const answer = await get(guest(), "/tmp/state", headers);
        expect(answer.status, JSON.stringify(headers)).toBe(status);
        if (status === 304) expect([answer.body.length, header(answer, "etag")]).toEqual([0, etag]);
        if (status === 412) expect(JSON.parse(answer.body.toString()).code).toBe(412);
      }
    };
    await cases([
      [{ "if-none-match": etag }, 304],
      [{ "if-none-match": `"x", W/${etag}` }, 304],
      [{ "if-none-match": '"x"', "if-modified-since": date }, 200],
      [{ "if-modified-since": date }, 304],
      [{ "if-modified-since": past }, 200],
      [{ "if-match": etag }, 200],
      [{ "if-match": '"x"' }, 412],
      [{ "if-unmodified-since": past }, 412],
      [{ range: "bytes=0-1", "if-range": etag }, 206],
      [{ range: "bytes=0-1", "if-range": date }, 206],
      [{ range: "bytes=0-1", "if-range": `W/${etag}` }, 200],
    ]);
    // Same length, and the time of modification set back: only the kernel knows.
    await guest().output(
      "touch -r /tmp/state /tmp/then; printf 'new content' >/tmp/state; touch -r /tmp/then /tmp/state",
    );
    expect(header(await get(guest(), "/tmp/state"), "last-modified")).toBe(date);
    await cases([
      [{ "if-none-match": etag }, 200],
      [{ "if-match": etag }, 412],
      [{ range: "bytes=0-1", "if-range": etag }, 200],
    ]);
  });

  test("gzip is what the client asks for, and nothing else than it accepts", async () => {
    await put(guest(), "/tmp/text", "text ".repeat(1000));
    const plain = (await get(guest(), "/tmp/text")).headers.etag;
    for (const [accept, coding] of [
      ["gzip", "gzip"],
      ["br;q=1, gzip;q=0.1", "gzip"],
      ["gzip;q=0.5, identity;q=0.6", undefined],
      ["gzip;q=0", undefined],
      ["*", undefined],
      ["identity;q=0, *", "gzip"],
      ["br", undefined],
    ] as const) {
      const answer = await get(guest(), "/tmp/text", { "accept-encoding": accept });
      expect(answer.headers["content-encoding"], accept).toBe(coding);
      expect((coding ? gunzipSync(answer.body) : answer.body).toString()).toBe("text ".repeat(1000));
      expect(answer.headers.etag === plain).toBe(coding === undefined);
    }
    for (const accept of ["*;q=0", "identity;q=0", "identity;q=0, br"]) {
      const answer = await get(guest(), "/tmp/text", { "accept-encoding": accept });
      expect([answer.status, JSON.parse(answer.body.toString()).code], accept).toEqual([406, 406]);
    }
  });

  test("HEAD answers the header alone, over HTTP/2 too", async () => {
    await put(guest(), "/tmp/head", "content");
    const client = connectHttp2(guest().baseUrl);
    try {
      for (const [path, status, length] of [
        ["/tmp/head", 200, "7"],
        ["/tmp/missing", 404, undefined],
      ] as const) {
        const stream = client.request({
          ":method": "HEAD",
          ":path": filesPath({ path }),
          ...guest().headers(),
        });
        const { promise, resolve, reject } = Promise.withResolvers<Record<string, unknown>>();
        stream.once("response", resolve).once("error", reject);
        let bytes = 0;
        stream.on("data", (data: Buffer) => {
          bytes += data.length;
        });
        const headers = await promise;
        expect([headers[constants.HTTP2_HEADER_STATUS], headers["content-length"], bytes]).toEqual([
          status,
          length,
          0,
        ]);
        const plain = await exchange(guest(), filesPath({ path }), { method: "HEAD" });
        expect([plain.status, plain.body.length]).toEqual([status, 0]);
      }
    } finally {
      client.close();
    }
  });

  test("empty files and those of the kernel are read as they are", async () => {
    await put(guest(), "/tmp/empty", "");
    const empty = await get(guest(), "/tmp/empty");
    expect([empty.status, header(empty, "content-length"), empty.body.length]).toEqual([200, "0", 0]);
    expect((await get(guest(), "/tmp/empty", { range: "bytes=0-" })).status).toBe(416);
    const zipped = await get(guest(), "/tmp/empty", { "accept-encoding": "gzip" });
    expect(gunzipSync(zipped.body).length).toBe(0);
    // One says that it has 0 bytes, the other that it has a page of them.
    for (const path of ["/proc/sys/kernel/ostype", "/sys/class/net/lo/mtu"]) {
      const answer = await get(guest(), path);
      expect(answer.body.toString()).toBe(await guest().output(`cat ${path}`));
      expect(answer.headers.etag).toBeUndefined();
    }
    const long = await get(guest(), "/proc/kallsyms");
    expect(long.body.toString().endsWith("\n")).toBe(true);
  });

  test("a hundred at a time take turns, and all come", async () => {
    const path = (index: number) => `/tmp/many/${index}`;
    const content = (index: number) => Buffer.alloc(300_000, index);
    const every = <T>(work: (index: number) => Promise<T>) =>
      Promise.all(Array.from({ length: 100 }, (_, index) => work(index)));
    await every((index) => put(guest(), path(index), content(index)));
    const answers = await every((index) => get(guest(), path(index)));
    expect(answers.every(({ body }, index) => body.equals(content(index)))).toBe(true);
    expect(await guest().output("ls -A /tmp/many | wc -l; rm -r /tmp/many")).toBe("100\n");
  });

  test("a file that shrinks while it is sent breaks off and does not end", async () => {
    await put(guest(), "/var/tmp/shrinking", Buffer.alloc(64 << 20));
    const response = await guest().fetch(filesPath({ path: "/var/tmp/shrinking" }), {
      headers: { "accept-encoding": "identity" },
    });
    await guest().output(": >/var/tmp/shrinking; rm /var/tmp/shrinking");
    await expect(response.arrayBuffer()).rejects.toThrow();
  });

  test("what cannot be read is said in JSON", async ({ skip }) => {
    await guest().output("mkfifo /tmp/pipe; mkdir -p -m 700 /tmp/closed; echo secret >/tmp/closed/secret");
    for (const [query, status, text] of [
      [{ path: "/tmp/missing" }, 404, "/tmp/missing"],
      [{ path: "/tmp" }, 400, "directory"],
      [{ path: "/tmp/pipe" }, 400, "not a regular file"],
      [{ path: "/dev/zero" }, 400, "not a regular file"],
      [{ path: "/etc/passwd/x" }, 400, "/etc/passwd/x"],
      [{ path: "/tmp/x", username: "no-such-user" }, 401, "no-such-user"],
      [{}, 400, "path: "],
    ] as const) {
      const answer = await exchange(guest(), filesPath(query));
      const body = JSON.parse(answer.body.toString());
      expect([answer.status, body], JSON.stringify(query)).toEqual([
        status,
        { code: status, message: expect.stringContaining(text) },
      ]);
    }
    expect((await exchange(guest(), "/files?path=%ff")).status).toBe(400);
    skip(!guest().options.otherUsers, "without root there is none");
    for (const [query, caller] of [
      [{ path: "/tmp/closed/secret", username: "user" }, {}],
      [{ path: "/tmp/closed/secret" }, { user: "user" }],
    ] as const)
      expect((await exchange(guest(), filesPath(query), { caller })).status).toBe(403);
    expect((await get(guest(), "/tmp/closed/secret")).body.toString()).toBe("secret\n");
  });
});
