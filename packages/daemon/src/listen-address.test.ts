import { expect, test } from "vitest";
import { dialUrl, isLoopback, listenAddress } from "./listen-address.ts";

test("parses the spellings that operators use", () => {
  expect(listenAddress(":8000")).toEqual({ host: "", port: 8000 });
  expect(listenAddress("127.0.0.1:0")).toEqual({ host: "127.0.0.1", port: 0 });
  expect(listenAddress("[::1]:443")).toEqual({ host: "::1", port: 443 });
});

test("refuses everything else", () => {
  for (const wrong of ["", "8000", "host", ":70000", "::1:80", "a:b", ":8000 "]) {
    expect(() => listenAddress(wrong), wrong).toThrow(/must look like/);
  }
});

test("dials every-address servers on loopback", () => {
  expect(dialUrl({ host: "", port: 1 })).toBe("http://127.0.0.1:1");
  expect(dialUrl({ host: "::1", port: 1 })).toBe("http://[::1]:1");
  expect(isLoopback("")).toBe(false);
  expect(isLoopback("127.0.0.2")).toBe(true);
});
