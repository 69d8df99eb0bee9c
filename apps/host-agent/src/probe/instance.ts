import { instanceOf, type Layout } from "../layout.ts";

/** Names what a probe makes outside the directory: never what an agent that serves from it has made. */
export function probeInstance(layout: Layout): string {
  return `${instanceOf(layout.root)}-probe`;
}
