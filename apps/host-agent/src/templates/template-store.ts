import { readdir, readFile, realpath, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import { errnoOf, WrennError } from "@wrenn/contracts";
import { checkExt4 } from "./ext4.ts";

/** A template's image as it is now. A new build is a new version at a new path; this one never changes. */
export interface TemplateImage {
  readonly template: string;
  readonly version: string;
  readonly rootfsPath: string;
}

const namePattern = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,63}$/;

/** The images below `$WRENN_DIR/images`: one directory a template, with `rootfs.ext4` in it. */
export class TemplateStore {
  readonly #dir: string;

  constructor(dir: string) {
    this.#dir = dir;
  }

  /** Names of the templates that have an image. */
  async list(): Promise<string[]> {
    const names = (await readdir(this.#dir).catch(() => [])).filter((name) => namePattern.test(name));
    const present = await Promise.all(
      names.map((name) =>
        stat(this.#rootfs(name)).then(
          () => true,
          () => false,
        ),
      ),
    );
    return names.filter((_, i) => present[i]).sort();
  }

  /** @throws {WrennError} `not_found` for a template without an image, `image_corrupt` for one that is no image. */
  async resolve(template: string): Promise<TemplateImage> {
    if (!namePattern.test(template)) throw unknownTemplate(template);
    const rootfsPath = await realpath(this.#rootfs(template)).catch((error: unknown) => {
      throw errnoOf(error) === "ENOENT" ? unknownTemplate(template) : error;
    });
    await checkExt4(rootfsPath);
    return { template, version: await versionOf(rootfsPath), rootfsPath };
  }

  #rootfs(template: string): string {
    return join(this.#dir, template, "rootfs.ext4");
  }
}

/** Version from the manifest beside the image; an image put there by hand is told apart by its size and time. */
async function versionOf(rootfsPath: string): Promise<string> {
  const manifest = await readFile(join(dirname(rootfsPath), "manifest.json"), "utf8").catch(() => undefined);
  if (manifest !== undefined) {
    const value: unknown = JSON.parse(manifest);
    if (typeof value === "object" && value !== null && "version" in value) return String(value.version);
  }
  const { size, mtimeMs } = await stat(rootfsPath);
  return `${size.toString(36)}-${Math.floor(mtimeMs).toString(36)}`;
}

function unknownTemplate(template: string): WrennError {
  return new WrennError("not_found", `template ${JSON.stringify(template)} does not exist`, {
    field: "template",
  });
}
