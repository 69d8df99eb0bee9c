import { mkdtemp, readdir, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { newId } from "@wrenn/contracts";
import { makeLogger } from "@wrenn/daemon";
import { afterEach, beforeEach, describe, expect, inject, test } from "vitest";
import { type Layout, layoutOf, makeDirectories } from "../layout.ts";
import { BootSnapshots } from "../templates/boot-snapshots.ts";
import { TemplateStore } from "../templates/template-store.ts";
import { SimulatedDriver } from "../vmm/simulated/simulated-driver.ts";
import type { CapsuleRequest } from "./capsule.ts";
import { CapsuleService } from "./service.ts";

let stack: AsyncDisposableStack;
let layout: Layout;
let capsules: CapsuleService;

beforeEach(async () => {
  stack = new AsyncDisposableStack();
  const root = await mkdtemp(join(tmpdir(), "wrenn-capsules-"));
  stack.defer(() => rm(root, { recursive: true, force: true }));
  layout = layoutOf(root);
  await makeDirectories(layout);
  for (const name of ["kernels", "images"]) await symlink(join(inject("imagesDir"), name), join(root, name));

  const common = { layout, vmm: new SimulatedDriver(inject("envdBinary")), slots: undefined };
  const { signal } = new AbortController();
  const logger = makeLogger("capsules", "silent");
  const templates = new TemplateStore(layout.images);
  const snapshots = new BootSnapshots({ ...common, templates, logger, signal });
  capsules = stack.use(new CapsuleService({ ...common, snapshots, logger, signal }));
});
afterEach(() => stack.disposeAsync());

function request(changes: Partial<CapsuleRequest> = {}): CapsuleRequest {
  const size = { vcpus: 1, memoryMib: 256 };
  return { id: newId("capsule"), generation: 1n, template: "minimal", size, ...changes };
}

describe("create", () => {
  test("asked twice at once, makes one capsule and answers it twice", async () => {
    const asked = request();
    const [one, two] = await Promise.all([capsules.create(asked), capsules.create(asked)]);
    expect(one).toBe(two);
    expect(await capsules.create(asked)).toBe(one);
    expect(await readdir(layout.machines)).toEqual([asked.id]);
  });

  test("boots a template once, however many ask for it at once", async () => {
    await Promise.all(Array.from({ length: 4 }, () => capsules.create(request())));
    expect(await readdir(layout.snapshots)).toHaveLength(1);
    expect(capsules.list().map(({ state }) => state)).toEqual(Array(4).fill("running"));
  });

  test("of another generation is refused while the capsule is there", async () => {
    const asked = request({ generation: 2n });
    await capsules.create(asked);
    for (const generation of [1n, 3n]) {
      const again = capsules.create({ ...asked, generation });
      await expect(again).rejects.toMatchObject({ code: "conflict", field: "generation" });
    }
  });

  test("refuses an id that is none before it touches the disk", async () => {
    for (const id of ["", "../../etc", newId("team")]) {
      await expect(capsules.create(request({ id }))).rejects.toMatchObject({ code: "invalid_request" });
    }
    expect(await readdir(layout.machines)).toEqual([]);
  });
});

describe("destroy", () => {
  test("of an unknown capsule is done already", async () => {
    await capsules.destroy(newId("capsule"), 1n);
  });

  test("with an older generation is refused, with a newer one obeyed", async () => {
    const asked = request({ generation: 2n });
    await capsules.create(asked);
    await expect(capsules.destroy(asked.id, 1n)).rejects.toMatchObject({ code: "conflict" });
    await capsules.destroy(asked.id, 3n);
    expect(capsules.list()).toEqual([]);
    expect(await readdir(layout.machines)).toEqual([]);
  });

  test("while the capsule starts ends the start, and leaves nothing", async () => {
    const asked = request();
    const creating = capsules.create(asked);
    const refused = expect(creating).rejects.toMatchObject({ code: "conflict" });
    await Promise.all([refused, capsules.destroy(asked.id, 1n)]);
    expect(capsules.list()).toEqual([]);
    expect(await readdir(layout.machines)).toEqual([]);
  });
});

test("a machine that ends by itself leaves a capsule in error, its resources released", async () => {
  const capsule = await capsules.create(request());
  const revision = capsule.revision;
  process.kill(capsule.machine?.pid ?? 0, "SIGKILL");
  await capsule.machine?.exited;
  await expect.poll(() => readdir(layout.machines)).toEqual([]);
  expect(capsule).toMatchObject({ state: "error", reason: "vmm_exited" });
  expect(capsule.revision).toBeGreaterThan(revision);
  expect(() => capsule.guest).toThrow(expect.objectContaining({ code: "invalid_state" }));
});
