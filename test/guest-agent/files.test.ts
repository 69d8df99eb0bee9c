import { request } from "node:http";
import { Readable } from "node:stream";
import { createGzip, gzipSync } from "node:zlib";
import { expect, test } from "vitest";
import { MIB, pieces, sha256 } from "./support/content.ts";
import { type Answer, type Ask, exchange, filesPath, put } from "./support/exchange.ts";
import type { Guest } from "./support/guest.ts";
import { eachTarget } from "./support/targets.ts";

const octets = "application/octet-stream";

async function upload(guest: Guest, query: Record<string, string>, ask: Ask): Promise<Answer> {
  const headers = { "content-type": octets, ...ask.headers };
  return await exchange(guest, filesPath(query), { method: "POST", ...ask, headers });
}

/** The body of a form, and its content type. */
async function encoded(form: FormData): Promise<{ headers: Record<string, string>; body: Buffer }> {
  const response = new Response(form);
  const type = response.headers.get("content-type") ?? "";
  return { headers: { "content-type": type }, body: Buffer.from(await response.arrayBuffer()) };
}

function jsonOf(answer: Answer): unknown {
  return JSON.parse(answer.body.toString());
}

async function refusal(guest: Guest, query: Record<string, string>, ask: Ask): Promise<[number, string]> {
  const answer = await upload(guest, query, ask);
  const { code, message } = jsonOf(answer) as { code: number; message: string };
  expect(code).toBe(answer.status);
  return [answer.status, message];
}

/** Forgets the most that the agent has ever held. */
const forgetPeak = "echo 5 >/proc/$PPID/clear_refs";
const peak = "sed -n 's/VmHWM: *\\([0-9]*\\) kB/\\1/p' /proc/$PPID/status";

eachTarget((guest) => {
  test("16 MiB go up in every way, unchanged and at constant memory", async () => {
    const expected = sha256(pieces(16));
    const zipped = { "content-encoding": "gzip" };
    const form = async function* () {
      yield Buffer.from(
        '--B\r\ncontent-disposition: form-data; name="file"; filename="/var/tmp/large"\r\n\r\n',
      );
      yield* pieces(16);
      yield Buffer.from("\r\n--B--\r\n");
    };
    const formType = { "content-type": "multipart/form-data; boundary=B" };
    const path = "/var/tmp/large";
    const ways: [Record<string, string>, Ask][] = [
      [{ path }, { body: Readable.from(pieces(16)) }],
      [{ path }, { headers: zipped, body: Readable.from(pieces(16)).pipe(createGzip({ level: 1 })) }],
      [{}, { headers: formType, body: form() }],
      [
        {},
        {
          headers: { ...formType, ...zipped },
          body: Readable.from(form()).pipe(createGzip({ level: 1 })),
        },
      ],
    ];
    for (const [query, ask] of ways) {
      await guest().output(forgetPeak);
      const answer = await upload(guest(), query, ask);
      expect(jsonOf(answer)).toEqual([{ name: "large", path, type: "file" }]);
      expect(Number(await guest().output(peak))).toBeLessThan(16 << 10);
      expect(await guest().output(`sha256sum ${path}; rm ${path}`)).toMatch(expected);
    }
  });

  test("a form brings several files, by their names, from the home on", async () => {
    const form = new FormData();
    form.append("file", new Blob(["one"]), "/tmp/form/one");
    form.append("note", "not a file");
    form.append("file", new Blob(["two\r\n--"]), "form two/é.txt");
    form.append("file", new Blob([]), "~/form two/empty");
    const written = jsonOf(await upload(guest(), {}, await encoded(form)));
    const paths = ["/tmp/form/one", "/root/form two/é.txt", "/root/form two/empty"];
    const names = ["one", "é.txt", "empty"];
    expect(written).toEqual(paths.map((path, index) => ({ name: names[index], path, type: "file" })));
    expect(await guest().output("cat /tmp/form/one '/root/form two/é.txt'")).toBe("onetwo\r\n--");
    expect(await guest().output("stat -c %s '/root/form two/empty'; rm -r '/root/form two'")).toBe("0\n");

    const single = new FormData();
    single.append("file", new Blob(["three"]), "ignored");
    await upload(guest(), { path: "/tmp/form/three" }, await encoded(single));
    expect(await guest().output("ls /tmp/form; cat /tmp/form/three")).toBe("one\nthree\nthree");
  });

  test("gzip may be several members; damaged, cut short or other, it leaves the old file", async () => {
    const query = { path: "/tmp/zipped" };
    const headers = { "content-encoding": "gzip" };
    const whole = Buffer.concat([gzipSync("one "), gzipSync("two")]);
    expect((await upload(guest(), query, { headers, body: whole })).status).toBe(200);
    const damaged = Buffer.from(whole);
    damaged.fill(0, damaged.length - 8, damaged.length - 4);
    const form = new FormData();
    form.append("file", new Blob(["new"]), query.path);
    const inForm = await encoded(form);
    const bad: Ask[] = [
      { headers, body: damaged },
      { headers, body: whole.subarray(0, -1) },
      { headers, body: "plain" },
      { headers, body: "" },
      { headers: { ...inForm.headers, ...headers }, body: gzipSync(inForm.body).subarray(0, -1) },
      { headers: { "content-encoding": "br" }, body: whole },
    ];
    for (const ask of bad) expect((await refusal(guest(), query, ask))[0]).toBe(400);
    expect(await guest().output("cat /tmp/zipped")).toBe("one two");
  });

  test("a full disk is 507, for a bomb too, and the old file stays with no other", async () => {
    await guest().output("mkdir -p /mnt/small && mount -t tmpfs -o size=4m tmpfs /mnt/small");
    const query = { path: "/mnt/small/file" };
    await put(guest(), query.path, "old");
    const bomb = gzipSync(Buffer.alloc(64 << 20), { level: 9 });
    for (const ask of [
      { body: Readable.from(pieces(8)) },
      { headers: { "content-encoding": "gzip" }, body: bomb },
    ])
      expect((await refusal(guest(), query, ask))[0]).toBe(507);
    expect(await guest().output("cd /mnt/small; ls -A; cat file; cd /; umount /mnt/small")).toBe("file\nold");
  });

  test("a client that breaks off leaves the old file with no other", async () => {
    await guest().output("mkdir -p /tmp/broken");
    await put(guest(), "/tmp/broken/file", "old");
    const sent = request(`${guest().baseUrl}${filesPath({ path: "/tmp/broken/file" })}`, {
      method: "POST",
      headers: { ...guest().headers(), "content-type": octets },
      agent: false,
    });
    sent.on("error", () => {});
    sent.write(Buffer.alloc(1 << 20));
    const names = (count: number) =>
      `until [ "$(ls -A /tmp/broken | wc -l)" = ${count} ]; do sleep 0.05; done`;
    await guest().output(names(2));
    sent.destroy();
    await guest().output(names(1));
    expect(await guest().output("cat /tmp/broken/file")).toBe("old");
  });

  test("a file is replaced as a whole: its readers keep the old one, its mode and links to it stay", async () => {
    const path = "/tmp/replaced";
    await put(guest(), path, "old");
    await guest().output(`chmod 4750 ${path}; ln -s replaced /tmp/link; ln -s made /tmp/dangling`);
    const reader = guest().shell(`exec 3<${path}; echo; until [ -e /tmp/go ]; do sleep 0.05; done; cat <&3`);
    await guest().output(`until ls -l /proc/[0-9]*/fd 2>/dev/null | grep -q ${path}; do sleep 0.05; done`);
    await put(guest(), "/tmp/link", "new");
    await put(guest(), "/tmp/dangling", "made");
    await guest().output("touch /tmp/go");
    expect((await reader).stdout).toBe("\nold");
    // The set-user-id bit goes, as it does with a write in place.
    expect(await guest().output(`cat ${path} /tmp/made; stat -c ' %a' ${path}`)).toBe("newmade 750\n");
    expect(await guest().output("readlink /tmp/link /tmp/dangling")).toBe("replaced\nmade\n");
    const answer = await upload(guest(), { path, mode: "0604" }, { body: "x" });
    expect(answer.status).toBe(200);
    expect(await guest().output(`stat -c %a ${path}`)).toBe("604\n");
  });

  test("metadata is kept beside the file, shown with it, and replaced with it", async () => {
    const path = "/var/tmp/described";
    const headers = { "X-Metadata-Author": "somebody", "x-metadata-empty": "", "X-Metadata-": "no key" };
    const metadata = { author: "somebody", empty: "" };
    const answer = await upload(guest(), { path }, { headers, body: "x" });
    expect(jsonOf(answer)).toEqual([{ name: "described", path, type: "file", metadata }]);
    const shown = async () => (await guest().filesystem.stat({ path })).entry?.metadata;
    expect(await shown()).toEqual(metadata);
    await put(guest(), path, "y");
    expect(await shown()).toEqual({});

    const refused: Record<string, string>[] = [
      { "x-metadata-k": "tab\there" },
      { "x-metadata-k": "\u00e9" },
      { "x-metadata-k": "v".repeat(2048) },
      { [`x-metadata-${"k".repeat(245)}`]: "" },
      Object.fromEntries(Array.from({ length: 33 }, (_, index) => [`x-metadata-${index}`, ""])),
    ];
    for (const bad of refused) {
      const [status, message] = await refusal(guest(), { path }, { headers: bad, body: "z" });
      expect([status, message]).toEqual([400, expect.stringMatching(/^x-metadata/)]);
    }
    expect(await guest().output(`cat ${path}`)).toBe("y");
  });

  test("where the file system keeps no metadata it is refused, and what has none is written", async () => {
    await guest().output("mkdir -p /mnt/plain && mount -t ramfs ramfs /mnt/plain");
    const query = { path: "/mnt/plain/file" };
    expect(await refusal(guest(), query, { headers: { "x-metadata-k": "v" }, body: "x" })).toEqual([
      400,
      expect.stringContaining("keeps no metadata"),
    ]);
    await put(guest(), query.path, "x");
    expect(await guest().output("ls -A /mnt/plain; umount /mnt/plain")).toBe("file\n");
  });

  test("files and their parents belong to the user, who needs the right to write there", async ({ skip }) => {
    skip(!guest().options.otherUsers, "without root there is none");
    for (const [query, caller] of [
      [{ path: "a/b/file", username: "user" }, {}],
      [{ path: "/home/user/c/d/file" }, { user: "user" }],
    ] as const)
      expect((await upload(guest(), query, { body: "x", caller })).status).toBe(200);
    const shown = await guest().output(
      "cd /home/user; stat -c '%U:%G %a' a a/b a/b/file c c/d c/d/file; rm -r a c",
    );
    expect(shown).toBe("user:user 755\nuser:user 755\nuser:user 644\n".repeat(2));
    const denied = await refusal(guest(), { path: "/root/x", username: "user" }, { body: "x" });
    expect(denied).toEqual([403, expect.stringContaining("/root/x")]);
    await guest().output("mkdir -m 755 /tmp/of-root; touch /tmp/of-root/file");
    expect((await refusal(guest(), { path: "/tmp/of-root/file", username: "user" }, { body: "" }))[0]).toBe(
      403,
    );
  });

  test("what cannot be is said in JSON, before the client has sent it all", async () => {
    await guest().output("mkdir -p /tmp/directory; echo x >/tmp/no-directory; mkfifo /tmp/fifo || true");
    const piece = Buffer.alloc(MIB);
    const endless = () => Readable.from(Array.from({ length: 1000 }, () => piece));
    for (const [query, headers, status, text] of [
      [{ path: "/tmp/directory" }, {}, 400, "directory"],
      [{ path: "/" }, {}, 400, "directory"],
      [{ path: "/tmp/fifo" }, {}, 400, "not a regular file"],
      [{ path: "/tmp/no-directory/x" }, {}, 400, "directory"],
      [{ path: `/tmp/${"n".repeat(256)}` }, {}, 400, "n"],
      [{}, {}, 400, "path: "],
      [{ path: "a\0b" }, {}, 400, "path: "],
      [{ path: "~other/x" }, {}, 400, "path: "],
      [{ path: "/tmp/x", mode: "9" }, {}, 400, "mode: "],
      [{ path: "/tmp/x", username: "no-such-user" }, {}, 401, "no-such-user"],
      [{ path: "/tmp/x" }, { "content-type": "text/plain" }, 400, "content-type: "],
      [{ path: "/tmp/x" }, { "content-type": "multipart/form-data" }, 400, "content-type: "],
    ] as const) {
      const answer = await refusal(guest(), query, { headers, body: endless() });
      expect(answer, JSON.stringify(query)).toEqual([status, expect.stringContaining(text)]);
    }
  });

  test("a form that is none is refused", async () => {
    const headers = { "content-type": "multipart/form-data; boundary=B" };
    const part = 'content-disposition: form-data; name="file"';
    for (const [body, text] of [
      ["nonsense", "body: "],
      ["--B--\r\n", "no part"],
      ["--B\r\ncontent-disposition: form-data; name=other\r\n\r\nx\r\n--B--", "no part"],
      [`--B\r\n${part}\r\n\r\nx\r\n--B--`, "filename"],
      [`--B\r\n${part}; filename="/tmp/unfinished"\r\n\r\nx`, "ends within"],
      [`--B\r\n${`x: ${"x".repeat(1000)}\r\n`.repeat(20)}\r\n\r\nx\r\n--B--`, "too long"],
      [`--B\r\n${part}; filename="/tmp/t"\r\n\r\nx\r\n`.repeat(2), "two parts"],
    ] as const)
      expect(await refusal(guest(), {}, { headers, body })).toEqual([400, expect.stringContaining(text)]);
    expect(await guest().output("ls /tmp/unfinished 2>/dev/null || echo none")).toBe("none\n");
  });
});
