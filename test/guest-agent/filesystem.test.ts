import { Code } from "@connectrpc/connect";
import { type EntryInfo, FileType } from "@wrenn/contracts/filesystem";
import { expect, test } from "vitest";
import type { Guest } from "./support/guest.ts";
import { codeOf } from "./support/refusal.ts";
import { scratchDirectory } from "./support/scratch.ts";
import { eachTarget, eachWire } from "./support/targets.ts";

/** Everything about a tree that a move must keep, one line for each entry. */
async function portrait(guest: Guest, path: string): Promise<string> {
  const attributes = "getfattr -R -h -d -m user. . 2>/dev/null | grep -v '^#' || true";
  return await guest.output(
    `cd ${path}; find . -printf '%P %y %#m %u %g %s %T@ %n %l\\n' | sed -E 's/^([^ ]* d [^ ]* [^ ]* [^ ]*) [0-9]+/\\1/' | sort; ` +
      `find . -type f -exec sha256sum {} + | sort; ${attributes}`,
  );
}

const namesOf = (entries: readonly EntryInfo[], path: string): string[] =>
  entries.map((entry) => entry.path.slice(path.length + 1));

eachTarget((guest) => {
  eachWire((wire) => {
    const call = () => guest().as({ wire }).filesystem;

    test("entries are what they are", async () => {
      const path = await scratchDirectory(guest());
      await guest().output(
        `cd ${path}; printf 12345 >file; chmod 2640 file; touch -d @1000000000.5 file; mkdir directory; mkfifo fifo; ` +
          "ln -s file link; ln -s link other; ln -s nowhere broken; chown -h nobody broken 2>/dev/null || true",
      );
      const entry = async (name: string) => (await call().stat({ path: `${path}/${name}` })).entry;
      expect(await entry("file")).toMatchObject({
        ...{ name: "file", path: `${path}/file`, type: FileType.FILE, size: 5n, mode: 0o2640 },
        ...{ permissions: "-rw-r-S---", owner: "root", group: "root" },
        modifiedTime: { seconds: 1_000_000_000n, nanos: 500_000_000 },
      });
      expect((await entry("file"))?.symlinkTarget).toBeUndefined();
      expect(await entry("directory")).toMatchObject({ type: FileType.DIRECTORY, permissions: "drwxr-xr-x" });
      expect(await entry("fifo")).toMatchObject({ type: FileType.UNSPECIFIED, permissions: "prw-r--r--" });
      const link = { type: FileType.SYMLINK, permissions: "lrwxrwxrwx", mode: 0o777 };
      expect(await entry("link")).toMatchObject({ ...link, symlinkTarget: `${path}/file` });
      expect(await entry("other")).toMatchObject({ ...link, symlinkTarget: `${path}/file` });
      expect(await entry("broken")).toMatchObject({ ...link, symlinkTarget: "nowhere" });
      expect(await codeOf(call().stat({ path: `${path}/missing` }))).toBe(Code.NotFound);
      expect(await codeOf(call().stat({ path: `${path}/file/below` }))).toBe(Code.InvalidArgument);
      expect(await codeOf(call().stat({ path: "" }))).toBe(Code.InvalidArgument);
    });

    test("a listing is as deep as asked, sorted, and follows no links but itself", async () => {
      const path = await scratchDirectory(guest());
      await guest().output(`cd ${path}; mkdir -p real/b/c real/a; : >real/b/c/d; : >real/z; ln -s real link`);
      await guest().output(`cd ${path}/real; ln -s b l`);
      const list = async (depth: number, name = "real") =>
        namesOf((await call().listDir({ path: `${path}/${name}`, depth })).entries, `${path}/${name}`);
      const top = ["a", "b", "l", "z"];
      expect([await list(0), await list(1)]).toEqual([top, top]);
      expect(await list(2)).toEqual(["a", "b", "b/c", "l", "z"]);
      expect(await list(99, "link")).toEqual(["a", "b", "b/c", "b/c/d", "l", "z"]);
      expect(await codeOf(call().listDir({ path: `${path}/real/z` }))).toBe(Code.InvalidArgument);
      expect(await codeOf(call().listDir({ path: `${path}/missing` }))).toBe(Code.NotFound);
    });

    test("directories are made with their parents, once", async () => {
      const path = await scratchDirectory(guest());
      const { entry } = await call().makeDir({ path: `${path}/a/b` });
      expect(entry).toMatchObject({ name: "b", type: FileType.DIRECTORY, mode: 0o755 });
      expect(await codeOf(call().makeDir({ path: `${path}/a/b` }))).toBe(Code.AlreadyExists);
      await guest().output(`: >${path}/file`);
      expect(await codeOf(call().makeDir({ path: `${path}/file` }))).toBe(Code.InvalidArgument);
      expect(await codeOf(call().makeDir({ path: `${path}/file/a` }))).toBe(Code.InvalidArgument);
    });

    test("what is removed is gone with all below it, and may be removed again", async () => {
      const path = await scratchDirectory(guest());
      await guest().output(`cd ${path}; mkdir -p a/b; : >a/b/c; ln -s a link`);
      for (const name of ["link", "a", "a", "missing", "a/b"])
        await call().remove({ path: `${path}/${name}` });
      expect(await guest().output(`ls -A ${path}`)).toBe("");
      expect(await codeOf(call().remove({ path: "/" }))).toBe(Code.InvalidArgument);
    });
  });

  test("a move within a file system is a rename", async () => {
    const path = await scratchDirectory(guest());
    const { filesystem } = guest();
    await guest().output(`cd ${path}; echo new >a; echo old >b; mkdir -p d/e full; : >full/f; ln -s a link`);
    const move = (source: string, destination: string) =>
      filesystem.move({ source: `${path}/${source}`, destination: `${path}/${destination}` });
    expect((await move("a", "b")).entry).toMatchObject({ name: "b", type: FileType.FILE, size: 4n });
    expect((await move("link", "x/y/link")).entry).toMatchObject({
      type: FileType.SYMLINK,
      symlinkTarget: "a",
    });
    expect(await codeOf(move("a", "c"))).toBe(Code.NotFound);
    expect(await codeOf(move("d", "d/e/f"))).toBe(Code.InvalidArgument);
    expect(await codeOf(move("d", "full"))).toBe(Code.FailedPrecondition);
    expect(await codeOf(move("b", "d"))).toBe(Code.InvalidArgument);
    expect(await guest().output(`cd ${path}; find . | sort | tr '\\n' ' '; cat b`)).toBe(
      ". ./b ./d ./d/e ./full ./full/f ./x ./x/y ./x/y/link new\n",
    );
  });

  test("a move to another file system keeps everything, and leaves nothing behind", async () => {
    const [disk, memory] = [await scratchDirectory(guest()), await scratchDirectory(guest(), "/dev/shm")];
    await guest().output(
      `cd ${disk}; mkdir -p tree/a/b; cd tree; echo text >a/b/file; ln a/b/file same; ln -s a/b link; mkfifo fifo; ` +
        "truncate -s 64M hole; printf island | dd of=hole bs=1 seek=30M conv=notrunc 2>/dev/null; " +
        "chown -R nobody a 2>/dev/null || true; chmod 4750 a/b/file; chmod 555 a/b; " +
        "touch -hd @1000000000.123456789 a/b/file link a/b a .",
    );
    const before = await portrait(guest(), `${disk}/tree`);
    const move = (source: string, destination: string) => guest().filesystem.move({ source, destination });
    const { entry } = await move(`${disk}/tree`, `${memory}/there/tree`);
    expect(entry).toMatchObject({ name: "tree", type: FileType.DIRECTORY });
    expect(await portrait(guest(), `${memory}/there/tree`)).toBe(before);
    expect(await guest().output(`ls -A ${disk}; du -sm ${memory} | cut -f1`)).toBe("1\n");
    await move(`${memory}/there/tree`, `${disk}/back`);
    expect(await portrait(guest(), `${disk}/back`)).toBe(before);
    expect(await guest().output(`ls -A ${memory}/there ${disk} | grep -v :`)).toBe("\nback\n");
    await guest().output(`rm -rf ${disk} ${memory}`);
  });

  test("metadata goes along where the file system keeps it", async () => {
    const [disk, memory] = [await scratchDirectory(guest()), await scratchDirectory(guest(), "/dev/shm")];
    const init = { method: "POST", headers: { "x-metadata-kind": "report" }, body: new FormData() };
    init.body.append("file", new Blob(["text"]), "file");
    const upload = async (path: string) => (await guest().fetch(`/files?path=${path}`, init)).status;
    expect(await upload(`${disk}/file`)).toBe(200);
    const keeps = (await upload(`${memory}/other`)) === 200;
    const move = async (source: string, destination: string) =>
      (await guest().filesystem.move({ source, destination })).entry?.metadata;
    expect(await move(`${disk}/file`, `${disk}/moved`)).toEqual({ kind: "report" });
    expect(await move(`${disk}/moved`, `${memory}/moved`)).toEqual(keeps ? { kind: "report" } : {});
    const { entries } = await guest().filesystem.listDir({ path: memory });
    expect(entries.map(({ metadata }) => metadata)).toEqual(
      keeps ? [{ kind: "report" }, { kind: "report" }] : [{}],
    );
    await guest().output(`rm -rf ${disk} ${memory}`);
  });

  test("a move that fails changes nothing on either side", async () => {
    const [disk, memory] = [await scratchDirectory(guest()), await scratchDirectory(guest(), "/dev/shm")];
    await guest().output(
      `cd ${memory}; mkdir small mounted target; mount -t tmpfs -o size=1m tmpfs small; : >target/f; ` +
        `mkdir -p ${disk}/tree/mount ${disk}/tree/sub; head -c 3M /dev/zero >${disk}/tree/sub/file; ` +
        `: >${disk}/tree/first; mount -t tmpfs tmpfs ${disk}/tree/mount`,
    );
    const before = await portrait(guest(), disk);
    const refused = (source: string, destination: string) =>
      codeOf(guest().filesystem.move({ source: `${disk}/${source}`, destination }));
    expect(await refused("tree/sub", `${memory}/small/sub`)).toBe(Code.ResourceExhausted);
    expect(await refused("tree/sub", `${memory}/target`)).toBe(Code.FailedPrecondition);
    expect(await refused("tree/sub/file", `${memory}/target`)).toBe(Code.InvalidArgument);
    expect(await refused("tree", `${memory}/tree`)).toBe(Code.FailedPrecondition);
    expect(await refused("tree", `${disk}/tree/mount/tree`)).toBe(Code.InvalidArgument);
    expect(await portrait(guest(), disk)).toBe(before);
    expect(await guest().output(`cd ${memory}; find . | sort | tr '\\n' ' '`)).toBe(
      ". ./mounted ./small ./target ./target/f ",
    );
    await guest().output(`umount ${memory}/small ${disk}/tree/mount; rm -rf ${disk} ${memory}`);
  });

  test("every call has the rights of its user, and no more", async ({ skip }) => {
    skip(!guest().options.otherUsers, "without root there is one user");
    const [path, memory] = [await scratchDirectory(guest()), await scratchDirectory(guest(), "/dev/shm")];
    const { filesystem } = guest().as({ user: "user" });
    await guest().output(
      `cd ${path}; mkdir -m 700 locked; : >locked/f; mkdir -p own/theirs own/closed; : >own/theirs/f; : >own/closed/f; ` +
        `chown user own own/closed own/closed/f ${memory}; chmod 555 own/closed`,
    );
    for (const refused of [
      () => filesystem.listDir({ path: `${path}/locked` }),
      () => filesystem.stat({ path: `${path}/locked/f` }),
      () => filesystem.makeDir({ path: `${path}/new` }),
      () => filesystem.remove({ path: `${path}/locked/f` }),
      () => filesystem.move({ source: `${path}/own`, destination: `${path}/moved` }),
      // The copy could be made, but the original not removed.
      () => filesystem.move({ source: `${path}/own`, destination: `${memory}/own` }),
    ])
      expect(await codeOf(refused())).toBe(Code.PermissionDenied);
    expect(namesOf((await filesystem.listDir({ path, depth: 9 })).entries, path)).toContain("locked");
    expect(await guest().output(`ls -A ${memory}; ls ${path}/own`)).toBe("closed\ntheirs\n");
    // A rename would move what its owner has made read-only, so this does as well.
    await filesystem.move({ source: `${path}/own/closed`, destination: `${memory}/closed` });
    expect(await guest().output(`stat -c '%U %a' ${memory}/closed ${memory}/closed/f`)).toBe(
      "user 555\nuser 644\n",
    );
    expect((await filesystem.makeDir({ path: "~/made/here" })).entry).toMatchObject({
      ...{ path: "/home/user/made/here", owner: "user", group: "user" },
    });
    await guest().output(`rm -rf ${path} ${memory} /home/user/made`);
  });
});

// A hundred thousand files take an emulated capsule minutes.
eachTarget((guest) => {
  test("a listing that would be too large is refused, and a smaller one is not", async () => {
    const path = await scratchDirectory(guest(), "/dev/shm");
    await guest().output(`mkdir ${path}/many ${path}/few; cd ${path}/many; seq 99998 | xargs touch`);
    const list = (depth: number) => guest().filesystem.listDir({ path, depth });
    expect((await list(2)).entries.length).toBe(100_000);
    await guest().output(`: >${path}/few/more`);
    expect(await codeOf(list(2))).toBe(Code.ResourceExhausted);
    expect((await list(1)).entries.length).toBe(2);
    const long = "x".repeat(200);
    await guest().output(
      `rm -rf ${path}/many; mkdir ${path}/many; cd ${path}/many; seq -f ${long}%g 70000 | xargs touch`,
    );
    expect(await codeOf(list(2))).toBe(Code.ResourceExhausted);
    await guest().output(`rm -rf ${path}`);
  });
}, "bare");
