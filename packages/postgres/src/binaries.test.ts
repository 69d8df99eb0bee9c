import { cp, mkdtemp, readdir, rm, unlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { runCommand } from "@wrenn/daemon";
import { expect, test } from "vitest";
import { findBinaries, libraryEnvironment } from "./binaries.ts";
import { layoutOf } from "./layout.ts";

test("runs from a package whose install script was skipped, without writing to it", async () => {
  await using stack = new AsyncDisposableStack();
  const dir = await mkdtemp(join(tmpdir(), "wrenn-binaries-"));
  stack.defer(() => rm(dir, { recursive: true }));
  const { postgres } = await findBinaries(layoutOf(join(dir, "unused")));
  const native = join(dir, "native");
  await cp(dirname(dirname(postgres)), native, { recursive: true, verbatimSymlinks: true });
  for (const entry of await readdir(join(native, "lib"), { withFileTypes: true })) {
    if (entry.isSymbolicLink()) await unlink(join(native, "lib", entry.name));
  }

  const env = { PATH: process.env.PATH, ...(await libraryEnvironment(native, join(dir, "lib"))) };
  for (const program of ["initdb", "postgres"]) {
    const { stdout } = await runCommand(join(native, "bin", program), ["--version"], { env });
    expect(stdout).toContain("(PostgreSQL) 18");
  }
  const links = (await readdir(join(native, "lib"), { withFileTypes: true })).filter((entry) =>
    entry.isSymbolicLink(),
  );
  expect(links).toEqual([]);
});
