import { maxDiskMib } from "@wrenn/contracts";
import { describe, expect, test } from "vitest";
import { diskMibOf, grownDiskBytes } from "./disk-size.ts";

const mebibyte = 1024 * 1024;

describe("the size of a disk", () => {
  test("is that of the source unless another is asked for", () => {
    expect(grownDiskBytes(0, 512 * mebibyte)).toBeUndefined();
    expect(grownDiskBytes(512, 512 * mebibyte)).toBeUndefined();
    expect(grownDiskBytes(513, 512 * mebibyte)).toBe(513 * mebibyte);
  });

  test("can be asked for as it is told, also where it is no whole number of MiB", () => {
    const bytes = 512 * mebibyte + 4096;
    expect(grownDiskBytes(diskMibOf(bytes), bytes)).toBeUndefined();
  });

  test.each([511, 1, maxDiskMib + 1])("cannot be %i MiB when the source has 512", (asked) => {
    expect(() => grownDiskBytes(asked, 512 * mebibyte)).toThrow(
      expect.objectContaining({ code: "invalid_request", field: "disk_size_mb" }),
    );
  });
});
