import { expect, test } from "vitest";
import { readControlPlaneConfig } from "./config.ts";

test("everything has a default", () => {
  expect(readControlPlaneConfig({})).toEqual({
    wrennDir: "/var/lib/wrenn",
    listenAddress: { host: "", port: 8000 },
    databaseUrl: undefined,
    hostAgentUrl: "http://127.0.0.1:50051",
    ownerFile: "/var/lib/wrenn/owner.json",
    logLevel: "info",
  });
});

test("the owner's file is in WRENN_DIR unless it is named", () => {
  expect(readControlPlaneConfig({ WRENN_DIR: "/w" }).ownerFile).toBe("/w/owner.json");
  expect(readControlPlaneConfig({ WRENN_OWNER_FILE: "/x/o.json" }).ownerFile).toBe("/x/o.json");
});

test("an agent elsewhere is not spoken to in the clear", () => {
  const url = (text: string) => readControlPlaneConfig({ CP_HOST_AGENT_ADDR: text }).hostAgentUrl;
  for (const good of [
    "http://127.0.0.1:1",
    "http://localhost:1",
    "http://[::1]:1",
    "https://host.example:1",
  ]) {
    expect(url(good)).toBe(good);
  }
  for (const bad of [
    "http://10.0.0.1:1",
    "http://host.example:1",
    "http://127.0.0.1.example.org:1",
    "host:1",
  ]) {
    expect(() => url(bad), bad).toThrow(/CP_HOST_AGENT_ADDR/);
  }
});

test("a malformed DATABASE_URL is named without what is in it", () => {
  const read = () => readControlPlaneConfig({ DATABASE_URL: "mysql://root:secret@x" });
  expect(read).toThrow(/DATABASE_URL must look like postgres:/);
  expect(read).not.toThrow(/secret/);
});
