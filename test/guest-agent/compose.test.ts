import { expect, test } from "vitest";
import { pieces, sha256 } from "./support/content.ts";
import { put } from "./support/exchange.ts";
import type { Caller, Guest } from "./support/guest.ts";
import { eachTarget } from "./support/targets.ts";

async function compose(guest: Guest, body: unknown, caller: Caller = {}): Promise<[number, unknown]> {
  const text = typeof body === "string" ? body : JSON.stringify(body);
  const answer = await guest.fetch("/files/compose", { method: "POST", body: text }, caller);
  return [answer.status, await answer.json()];
}

function refused(status: number, text: string): [number, unknown] {
  return [status, { code: status, message: expect.stringContaining(text) }];
}

eachTarget((guest) => {
  test("parts become one file in their order, and are gone", async () => {
    for (const [index, piece] of [...pieces(3)].entries()) await put(guest(), `/tmp/parts/${index}`, piece);
    await put(guest(), "/tmp/parts/empty", "");
    const answer = await compose(guest(), {
      source_paths: ["/tmp/parts/0", "/tmp/parts/1", "/tmp/parts/empty", "/tmp/parts/2"],
      destination: "/tmp/made/whole",
    });
    expect(answer).toEqual([200, { name: "whole", path: "/tmp/made/whole", type: "file" }]);
    const expected = `${sha256(pieces(3))}  /tmp/made/whole\n`;
    expect(await guest().output("sha256sum /tmp/made/whole; ls /tmp/parts")).toBe(expected);
  });

  test("a part may come twice and from another file system; the old file is replaced, with its mode", async () => {
    await put(guest(), "/var/tmp/part", "part ");
    await put(guest(), "/tmp/whole", "old");
    await guest().output("chmod 640 /tmp/whole");
    const sources = ["/var/tmp/part", "/var/tmp/part"];
    expect((await compose(guest(), { source_paths: sources, destination: "/tmp/whole" }))[0]).toBe(200);
    const shown = await guest().output(
      "cat /tmp/whole; stat -c %a /tmp/whole; ls /var/tmp/part 2>&1 || true",
    );
    expect(shown).toMatch(/^part part 640\n.*No such file/);
  });

  test("what cannot be composed leaves every part and the old file", async () => {
    await guest().output("mkdir -p /tmp/kept/directory; mkdir -p /mnt/tiny");
    await guest().output("mount -t tmpfs -o size=1m tmpfs /mnt/tiny; printf old >/mnt/tiny/old");
    for (const name of ["a", "b", "old"]) await put(guest(), `/tmp/kept/${name}`, name);
    for (const piece of pieces(1)) await put(guest(), "/tmp/kept/large", piece);
    await guest().output("cd /tmp/kept; ln -s old link; ln old hard");
    const [a, old] = ["/tmp/kept/a", "/tmp/kept/old"];
    for (const [body, status, text] of [
      ["{", 400, "body: "],
      [{ destination: old }, 400, "source_paths"],
      [{ source_paths: [a] }, 400, "destination"],
      [{ source_paths: [], destination: old }, 400, "source_paths"],
      [{ source_paths: [a, 1], destination: old }, 400, "body: "],
      [{ source_paths: [a], destination: "" }, 400, "destination: "],
      [{ source_paths: [""], destination: old }, 400, "source_paths: "],
      [{ source_paths: Array(10_001).fill(a), destination: old }, 400, "source_paths"],
      [{ source_paths: [a, old], destination: old }, 400, "is the destination"],
      [{ source_paths: [a, "/tmp/kept/./old"], destination: old }, 400, "is the destination"],
      [{ source_paths: [old], destination: "/tmp/kept/link" }, 400, "is the destination"],
      [{ source_paths: ["/tmp/kept/hard"], destination: old }, 400, "is the destination"],
      [{ source_paths: [a, "/tmp/kept/missing"], destination: old }, 404, "/tmp/kept/missing"],
      [{ source_paths: [a, "/tmp/kept/directory"], destination: old }, 400, "is a directory"],
      [{ source_paths: [a], destination: "/tmp/kept/directory" }, 400, "is a directory"],
      [{ source_paths: [a], destination: old, username: "no-such-user" }, 401, "no-such-user"],
      [{ source_paths: [a, "/tmp/kept/large"], destination: "/mnt/tiny/old" }, 507, "/mnt/tiny/old"],
    ] as const)
      expect(await compose(guest(), body), JSON.stringify(body).slice(0, 200)).toEqual(refused(status, text));
    const names = "a\nb\ndirectory\nhard\nlarge\nlink\nold\n";
    expect(await guest().output("ls -A /tmp/kept; cat /tmp/kept/old")).toBe(`${names}old`);
    expect(await guest().output("ls -A /mnt/tiny; cat /mnt/tiny/old; umount /mnt/tiny")).toBe("old\nold");
  });

  test("it ends with the client, and leaves what was there", async ({ skip }) => {
    skip(guest().options.target === "capsule", "its disk has no room for what takes long enough");
    await guest().output("mkdir -p /var/tmp/long; truncate -s 8G /var/tmp/long/part");
    const body = JSON.stringify({ source_paths: ["/var/tmp/long/part"], destination: "/var/tmp/long/whole" });
    const leaving = new AbortController();
    const answer = guest().fetch("/files/compose", { method: "POST", body, signal: leaving.signal });
    const names = (count: number) =>
      `until [ "$(ls -A /var/tmp/long | wc -l)" = ${count} ]; do sleep 0.02; done`;
    await guest().output(names(2));
    leaving.abort();
    await expect(answer).rejects.toThrow();
    await guest().output(names(1));
    expect(await guest().output("ls -A /var/tmp/long; rm -r /var/tmp/long")).toBe("part\n");
  });

  test("it is done with the rights of the user, to whom the file belongs", async ({ skip }) => {
    skip(!guest().options.otherUsers, "without root there is none");
    await put(guest(), "/home/user/part", "part");
    await guest().output(
      "chown user:user /home/user/part; mkdir -p -m 700 /tmp/closed; echo x >/tmp/closed/x",
    );
    const secret = { source_paths: ["/tmp/closed/x"], destination: "whole", username: "user" };
    expect(await compose(guest(), secret)).toEqual(refused(403, "/tmp/closed/x"));
    const made = await compose(
      guest(),
      { source_paths: ["part"], destination: "~/made/whole" },
      { user: "user" },
    );
    expect(made).toEqual([200, { name: "whole", path: "/home/user/made/whole", type: "file" }]);
    expect(await guest().output("stat -c %U:%G /home/user/made /home/user/made/whole")).toBe(
      "user:user\nuser:user\n",
    );
  });

  test("it is not for strangers", async () => {
    for (const token of [undefined, "wrong"]) expect((await compose(guest(), {}, { token }))[0]).toBe(401);
    expect((await guest().fetch("/files/compose")).status).toBe(405);
  });
});
