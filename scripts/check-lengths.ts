import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";

/** No source file is longer than this, unless it is generated. */
const maxLines = 400;

const root = resolve(import.meta.dirname, "..");
const tracked = execFileSync("git", ["ls-files", "--cached", "--others", "--exclude-standard", "-z"], {
  cwd: root,
  encoding: "utf8",
});
const long = tracked
  .split("\0")
  .filter((file) => /\.(ts|rs|svelte|sql)$/.test(file) && !file.includes("/gen/"))
  .map((file) => ({ file, lines: readFileSync(resolve(root, file), "utf8").split("\n").length }))
  .filter(({ lines }) => lines > maxLines);
for (const { file, lines } of long)
  process.stderr.write(`${file} has ${lines} lines, more than ${maxLines}\n`);
process.exit(long.length === 0 ? 0 : 1);
