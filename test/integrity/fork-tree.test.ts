import { expect, inject, test } from "vitest";
import { Api } from "../support/api.ts";
import "../support/provided.ts";
import { Guest } from "./support/guest.ts";
import { destroy, fork } from "./support/operate.ts";

const api = new Api(inject("platform"));
const depth = 10;

/** Each level of the tree writes a pattern of its own into memory and onto the disk. */
async function writeLevel(guest: Guest, level: number): Promise<void> {
  const write = (dir: string) =>
    `dd if=/dev/urandom of=${dir}/level-${level} bs=512K count=1 iflag=fullblock conv=fsync status=none`;
  await guest.sh(`set -e; mkdir -p /root/tree; ${write("/dev/shm")}; ${write("/root/tree")}`);
}

/** Digests of the patterns of all levels, lowest first: those in memory, then those on the disk, past the cache. */
async function levels(guest: Guest): Promise<string[]> {
  const digests = await guest.sh(
    `set -e; for f in $(ls /dev/shm/level-* | sort -t- -k2n); do sha256sum < $f; done
    for f in $(ls /root/tree/level-* | sort -t- -k2n); do dd if=$f bs=512K iflag=direct status=none | sha256sum; done`,
  );
  return digests.trim().split("\n");
}

test("a fork of a fork, ten deep, has what every capsule above it had, and all of them keep it", async () => {
  await using stack = new AsyncDisposableStack();
  let guest = new Guest(api, (await api.capsule(stack, { memory_mb: 512 })).id);
  const tree: { guest: Guest; kept: string[] }[] = [];
  for (let level = 0; level < depth; level += 1) {
    await writeLevel(guest, level);
    const kept = await levels(guest);
    expect(kept).toHaveLength(2 * (level + 1));
    tree.push({ guest, kept });
    guest = new Guest(api, (await fork(api, stack, guest.id))[0].id);
    expect(await levels(guest), `at depth ${level + 1}`).toEqual(kept);
  }
  // Those above go on as if nobody had been made of them, and those below when the ones above are gone.
  for (const [level, { guest: above, kept }] of tree.entries()) {
    expect(await levels(above), `of level ${level}, at the end`).toEqual(kept);
    await destroy(api, above.id);
  }
  expect(await levels(guest)).toEqual(tree.at(-1)?.kept);
});
