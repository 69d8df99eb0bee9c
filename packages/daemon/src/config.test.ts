import { expect, test } from "vitest";
import { absolutePath, httpUrl, number, oneOf, readConfig, text } from "./config.ts";

const variables = {
  dir: { name: "DIR", parse: absolutePath, fallback: "/var/lib/x" },
  url: { name: "URL", parse: httpUrl },
  level: { name: "LEVEL", parse: oneOf(["info", "debug"]), fallback: "info" },
  name: { name: "NAME", parse: text, fallback: "n" },
};

test("reads values, falls back for unset and empty ones", () => {
  const config = readConfig(variables, { URL: "http://host:1/", DIR: "" });
  expect(config).toEqual({ dir: "/var/lib/x", url: "http://host:1", level: "info", name: "n" });
});

test("names every malformed and missing variable, and no value", () => {
  const read = () => readConfig(variables, { DIR: "relative-secret", LEVEL: "loud-secret" });
  expect(read).toThrow(expect.objectContaining({ code: "config_invalid" }));
  expect(read).toThrow(/DIR must be an absolute path; URL is not set; LEVEL must be one of info, debug/);
  expect(read).not.toThrow(/secret/);
});

test("numbers are what they look like, and within their bounds", () => {
  expect(number(0, 10)("10")).toBe(10);
  expect(number(0, 10, "fractions")("0.5")).toBe(0.5);
  for (const text of ["11", "-1", "0.5", "1e1", "0x1", " 1", "ten", "Infinity"]) {
    expect(() => number(0, 10)(text), text).toThrow("must be a whole number from 0 to 10");
  }
});
