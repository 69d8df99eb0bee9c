import { expect, test } from "vitest";
import { render } from "./render.ts";

const findings = [
  { name: "VMM", status: "ok", detail: "there" },
  { name: "disk space", status: "failing", detail: "full\u001b[2J\nreally", cure: "free some" },
] as const;

test("one aligned line for each requirement, its cure below it, the sum at the end", () => {
  expect(render(findings, false)).toBe(
    `ok       VMM         there
failing  disk space  full [2J really
                     → free some

1 ok, 0 warnings, 1 failing
`,
  );
});

test("colour is around the status and nowhere else", () => {
  const [first] = render(findings, true).split("\n");
  expect(first).toBe("\u001b[32mok     \u001b[0m  VMM         there");
});
