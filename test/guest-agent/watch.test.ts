import { Code } from "@connectrpc/connect";
import { FileType } from "@wrenn/contracts/filesystem";
import { expect, test } from "vitest";
import { Followed } from "./support/followed.ts";
import { mountFuse } from "./support/fuse.ts";
import type { Guest } from "./support/guest.ts";
import { codeOf } from "./support/refusal.ts";
import { scratchDirectory } from "./support/scratch.ts";
import { eachTarget, eachWire } from "./support/targets.ts";
import { Watching } from "./support/watching.ts";

async function upload(guest: Guest, path: string, content: string): Promise<void> {
  const init = { method: "POST", headers: { "content-type": "application/octet-stream" }, body: content };
  expect((await guest.fetch(`/files?path=${encodeURIComponent(path)}`, init)).status).toBe(200);
}

eachTarget((guest) => {
  eachWire((wire) => {
    test("what happens to a file is told in its order", async () => {
      const path = await scratchDirectory(guest());
      await using watching = await Watching.start(guest(), path, {}, { wire });
      await guest().output(`cd ${path}; : >a; echo x >>a; chmod 600 a; mv a b; rm b`);
      await watching.sees("REMOVE b");
      expect(watching.lines).toEqual(["CREATE a", "WRITE a", "CHMOD a", "RENAME a", "CREATE b", "REMOVE b"]);
    });

    test("an entry is described while it is there", async () => {
      const path = await scratchDirectory(guest());
      await guest().output(`cd ${path}; echo 12345 >gone`);
      await using watching = await Watching.start(guest(), path, { includeEntry: true }, { wire });
      await guest().output(`cd ${path}; rm gone; umask 027; ln -s there link; printf 12345 >there`);
      await watching.sees("WRITE there", "CREATE link");
      const entryOf = (name: string) => watching.events.findLast((event) => event.name === name)?.entry;
      expect(entryOf("gone")).toBeUndefined();
      expect(entryOf("there")).toMatchObject({
        name: "there",
        type: FileType.FILE,
        path: `${path}/there`,
        mode: 0o640,
        owner: "root",
      });
      expect(entryOf("link")).toMatchObject({ type: FileType.SYMLINK });
    });
  });

  test("an upload is told as a write to its place, whatever is made aside for it", async () => {
    const path = await scratchDirectory(guest());
    await upload(guest(), `${path}/old`, "old");
    await using watching = await Watching.start(guest(), path, { recursive: true });
    await upload(guest(), `${path}/old`, "newer");
    await upload(guest(), `${path}/new`, "new");
    await upload(guest(), `${path}/below/new`, "new");
    await watching.sees("WRITE below/new");
    expect(watching.lines.slice(0, 4)).toEqual(["WRITE old", "CREATE new", "WRITE new", "CREATE below"]);
    expect(watching.lines.filter((line) => line.includes("envd"))).toEqual([]);
  });

  test("without recursion only the directory itself is watched", async () => {
    const path = await scratchDirectory(guest());
    await guest().output(`mkdir ${path}/below`);
    await using watching = await Watching.start(guest(), path);
    await guest().output(`cd ${path}; : >below/a; mkdir new; : >new/a; : >last`);
    await watching.sees("CREATE last");
    expect(watching.lines).toEqual(["CREATE new", "CREATE last"]);
  });

  test("a tree that appears at once is told whole, nothing twice, and is watched from then on", async () => {
    const path = await scratchDirectory(guest());
    await using watching = await Watching.start(guest(), path, { recursive: true });
    const trees = Array.from({ length: 40 }, (_, index) => index);
    await guest().output(
      `cd ${path}; for n in ${trees.join(" ")}; do mkdir -p $n/a/b; echo x >$n/a/b/f; done; : >last`,
    );
    await watching.sees("CREATE last");
    await watching.sees(...trees.map((n) => `WRITE ${n}/a/b/f`));
    const created = watching.lines.filter((line) => line.startsWith("CREATE"));
    const expected = trees.flatMap((n) => [`${n}`, `${n}/a`, `${n}/a/b`, `${n}/a/b/f`]);
    expect(created.toSorted()).toEqual([...expected, "last"].map((name) => `CREATE ${name}`).toSorted());
    await guest().output(`cd ${path}; for n in ${trees.join(" ")}; do : >$n/a/b/g; rm $n/a/b/f; done`);
    await watching.sees(...trees.flatMap((n) => [`CREATE ${n}/a/b/g`, `REMOVE ${n}/a/b/f`]));
  });

  test("directories that move keep being watched under their new names, or not at all", async () => {
    const [path, outside] = [await scratchDirectory(guest()), await scratchDirectory(guest())];
    await guest().output(
      `cd ${path}; mkdir -p a/deep leaves; mkdir -p ${outside}/comes; : >${outside}/comes/f`,
    );
    await using watching = await Watching.start(guest(), path, { recursive: true });
    await guest().output(`cd ${path}; mv a b; : >b/deep/f; mv leaves ${outside}; mv ${outside}/comes .`);
    await watching.sees("RENAME a", "CREATE b/deep/f", "RENAME leaves", "CREATE comes", "CREATE comes/f");
    const before = watching.events.length;
    await guest().output(`cd ${path}; : >${outside}/leaves/f; : >comes/g; : >b/deep/g; mkdir a; : >a/f`);
    await watching.sees("CREATE a/f");
    const after = watching.lines.slice(before);
    expect(after).toEqual(["CREATE comes/g", "CREATE b/deep/g", "CREATE a", "CREATE a/f"]);
  });

  test("a directory that is reached by a link is watched, and names stay relative", async () => {
    const path = await scratchDirectory(guest());
    await guest().output(`cd ${path}; mkdir real; ln -s real link`);
    await using watching = await Watching.start(guest(), `${path}/link/`);
    await guest().output(`: >${path}/real/a; chmod 700 ${path}/real`);
    await watching.sees("CREATE a", "CHMOD .");
  });

  test.for([
    ["removed", "rmdir", "REMOVE ."],
    ["moved", "f() { mv $1 $1-moved; }; f", "RENAME ."],
  ] as const)("the end of a directory that is %s ends its stream", async ([, command, line]) => {
    const path = await scratchDirectory(guest());
    const watching = await Watching.start(guest(), path, { recursive: true });
    await guest().output(`${command} ${path}`);
    expect(await watching.over).toBe(Code.NotFound);
    expect(watching.lines).toEqual([line]);
  });

  test("a silent stream says that it lives, and ends when its time is over", async () => {
    const path = await scratchDirectory(guest());
    // As a header of our own, because the client would keep the time by itself.
    const headers = { "keepalive-ping-interval": "1", "connect-timeout-ms": "3000" };
    const watching = await Watching.start(guest(), path, {}, {}, { headers });
    await watching.until(({ keepalives }) => keepalives > 0);
    expect(await watching.over).toBe(Code.DeadlineExceeded);
    expect(watching.lines).toEqual([]);
  });

  test("a stream with always something to tell ends when its time is over, too", async () => {
    const path = await scratchDirectory(guest());
    const headers = { "connect-timeout-ms": "1000" };
    const watching = await Watching.start(guest(), path, {}, {}, { headers });
    const process = { cmd: "/bin/sh", args: ["-c", `cd ${path}; : >a; while mv a b && mv b a; do :; done`] };
    const busy = new Followed(guest().processes.start({ process, stdin: false }));
    expect(await watching.over).toBe(Code.DeadlineExceeded);
    expect(watching.events.length).toBeGreaterThan(0);
    await guest().output(`rm -rf ${path}`);
    await busy.ended;
  });

  test("what cannot be watched is refused", async ({ skip }) => {
    const path = await scratchDirectory(guest());
    await guest().output(`cd ${path}; : >file; chmod 755 .; mkdir -m 700 locked`);
    const refused = async (path: string, user?: string): Promise<Code | undefined> =>
      await codeOf(Watching.start(guest(), path, {}, user === undefined ? {} : { user }));
    expect(await refused(`${path}/missing`)).toBe(Code.NotFound);
    expect(await refused(`${path}/file`)).toBe(Code.InvalidArgument);
    expect(await refused("")).toBe(Code.InvalidArgument);
    skip(!guest().options.otherUsers, "without root there is one user");
    expect(await refused(`${path}/locked`, "user")).toBe(Code.PermissionDenied);
  });

  test("a file system of the network is refused, unless the client knows", async ({ skip }) => {
    await using stack = new AsyncDisposableStack();
    const path = await scratchDirectory(guest());
    await guest().output(`mkdir -p ${path}/far ${path}/near`);
    skip(!(await mountFuse(stack, guest(), `${path}/far`)), "this guest has no FUSE");
    expect(await guest().output(`stat -f -c %T ${path}/far`)).toBe("fuseblk\n");
    const far = { path: `${path}/far` };
    expect(await codeOf(Watching.start(guest(), far.path))).toBe(Code.InvalidArgument);
    expect(await codeOf(guest().filesystem.createWatcher(far))).toBe(Code.InvalidArgument);
    await using _ = await Watching.start(guest(), far.path, { allowNetworkMounts: true });
    // One below the directory is left out.
    await using watching = await Watching.start(guest(), path, { recursive: true });
    await guest().output(`: >${path}/near/file`);
    await watching.sees("CREATE near/file");
  });
});
