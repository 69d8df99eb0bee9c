import { tmpdir } from "node:os";
import { expect, test } from "vitest";
import { checkDiskSpace } from "./disk-space.ts";

test("work is refused when the disk has no room for it, with both figures", async () => {
  await checkDiskSpace(tmpdir(), 1);
  await expect(checkDiskSpace(tmpdir(), 2 ** 40)).rejects.toMatchObject({
    code: "host_disk_full",
    message: expect.stringMatching(/has \d+ MiB free, 1099511627776 MiB are needed/),
  });
});
