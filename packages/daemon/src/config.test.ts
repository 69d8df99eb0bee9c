import { expect, test } from "vitest";
import { absolutePath, httpUrl, oneOf, readConfig, text } from "./config.ts";

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
