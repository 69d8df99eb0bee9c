import { expect, test } from "vitest";
import { requireTools, type Tool, toolsMissing } from "./tools.ts";

test("missing tools are named with each package once", () => {
  expect(toolsMissing(["lz4", "mkfs.ext4", "debugfs"]).message).toBe(
    "The images cannot be built without lz4, mkfs.ext4, debugfs; install the Debian packages lz4 and e2fsprogs.",
  );
});

test("only what is absent counts as missing", async () => {
  await requireTools(["cat", "debugfs"]);
  await expect(requireTools(["cat", "no-such-tool" as Tool])).rejects.toMatchObject({
    code: "image_missing",
    message: "The images cannot be built without no-such-tool.",
  });
});
