import { errnoOf, type Finding, WrennError } from "@wrenn/contracts";
import type { Layout } from "../layout.ts";
import { TemplateStore } from "../templates/template-store.ts";

/** The templates that capsules can be made of, each looked into. */
export async function probeImages({ images }: Layout): Promise<Finding> {
  const name = "images";
  const templates = new TemplateStore(images);
  const names = await templates.list();
  if (names.length === 0) {
    return { name, status: "warning", detail: `there are none in ${images} yet`, cure: "make images" };
  }
  const problems: string[] = [];
  for (const template of names) {
    await templates.resolve(template).catch((error: unknown) => {
      if (!(error instanceof WrennError) && errnoOf(error) === undefined) throw error;
      problems.push(`${template}: ${error instanceof Error ? error.message : error}`);
    });
  }
  if (problems.length === 0) return { name, status: "ok", detail: names.join(", ") };
  const cure = "remove what is damaged below images/ and run `make images`";
  return { name, status: "failing", detail: problems.join("; "), cure };
}
