import { mkdtemp, open, readdir, readFile, rm, symlink } from "node:fs/promises";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { type Layout, layoutOf } from "../../layout.ts";
import { findProcesses } from "../../processes/find.ts";
import { endProcess } from "../../processes/identity.ts";
import type { AgentUnderTest } from "./agent-under-test.ts";
import type { Contents } from "./expected.ts";

/** A directory with an agent, and what is in it. Disposing of it ends everything there. */
export class HostUnderTest implements AsyncDisposable {
  readonly agent: AgentUnderTest;
  readonly layout: Layout;

  private constructor(agent: AgentUnderTest, layout: Layout) {
    this.agent = agent;
    this.layout = layout;
  }

  static async open(agent: AgentUnderTest, imagesDir: string): Promise<HostUnderTest> {
    const root = await mkdtemp(join(tmpdir(), "wrenn-model-"));
    for (const name of ["kernels", "images"]) await symlink(join(imagesDir, name), join(root, name));
    await agent.open(root);
    return new HostUnderTest(agent, layoutOf(root));
  }

  /** Writes into a guest: a page of its memory, and a part of its disk. */
  async write(id: string, contents: Contents): Promise<void> {
    for (const part of ["memory", "disk"] as const) {
      await using file = await open(join(this.layout.machines, id, part), "r+");
      await file.truncate(contents[part].length);
      await file.write(contents[part], 0, contents[part].length, 0);
    }
  }

  /** What is in a guest. */
  async contents(id: string): Promise<Contents> {
    const dir = join(this.layout.machines, id);
    return { memory: await readFile(join(dir, "memory")), disk: await readFile(join(dir, "disk")) };
  }

  /** Capsules that have a run directory. */
  async runDirs(): Promise<string[]> {
    return (await readdir(this.layout.machines)).sort();
  }

  /** Capsules that have a journal. */
  async journals(): Promise<string[]> {
    const names = await readdir(this.layout.journal);
    return names.map((name) => basename(name, ".journal")).sort();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.agent.close();
    await Promise.all((await findProcesses({ dir: this.layout.root })).map(endProcess));
    await rm(this.layout.root, { recursive: true, force: true });
  }
}
