import { expect, test } from "vitest";
import { bySemver } from "./kernel.ts";

test("kernels are ordered by number, not by letter, and a pre-release comes before its release", () => {
  const names = ["vmlinux-6.10.0", "vmlinux-6.9.3", "vmlinux-6.10.0-rc2", "vmlinux-5.15.300"];
  expect(names.sort(bySemver)).toEqual([
    "vmlinux-5.15.300",
    "vmlinux-6.9.3",
    "vmlinux-6.10.0-rc2",
    "vmlinux-6.10.0",
  ]);
});
