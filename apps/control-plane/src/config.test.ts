import { expect, test } from "vitest";
import { readControlPlaneConfig } from "./config.ts";

test("everything has a default", () => {
  expect(readControlPlaneConfig({})).toEqual({
    wrennDir: "/var/lib/wrenn",
    listenAddress: { host: "", port: 8000 },
    databaseUrl: undefined,
    tlsListenAddress: undefined,
    tlsNames: [],
    encryptionKey: { key: undefined, file: "/var/lib/wrenn/encryption-key" },
    metricsToken: undefined,
    ownerFile: "/var/lib/wrenn/owner.json",
    logLevel: "info",
  });
});

test("the owner's file is in WRENN_DIR unless it is named", () => {
  expect(readControlPlaneConfig({ WRENN_DIR: "/w" }).ownerFile).toBe("/w/owner.json");
  expect(readControlPlaneConfig({ WRENN_OWNER_FILE: "/x/o.json" }).ownerFile).toBe("/x/o.json");
});

test("secrets and names that cannot be right are refused without being shown", () => {
  const wrong = {
    WRENN_ENCRYPTION_KEY: "secret",
    WRENN_METRICS_TOKEN: "secret",
    WRENN_CP_TLS_NAMES: "secret name",
    WRENN_CP_TLS_LISTEN_ADDR: "secret",
  };
  for (const [name, value] of Object.entries(wrong)) {
    expect(() => readControlPlaneConfig({ [name]: value }), name).toThrow(new RegExp(`${name} must`));
    expect(() => readControlPlaneConfig({ [name]: value }), name).not.toThrow(/secret/);
  }
  const key = "0123456789abcdef".repeat(4);
  const right = { WRENN_ENCRYPTION_KEY: key, WRENN_CP_TLS_NAMES: "wrenn.example, 10.0.0.5,fd00::5" };
  const config = readControlPlaneConfig(right);
  expect(config.encryptionKey.key?.toString("hex")).toBe(key);
  expect(config.tlsNames).toEqual(["wrenn.example", "10.0.0.5", "fd00::5"]);
});

test("a malformed DATABASE_URL is named without what is in it", () => {
  const read = () => readControlPlaneConfig({ DATABASE_URL: "mysql://root:secret@x" });
  expect(read).toThrow(/DATABASE_URL must look like postgres:/);
  expect(read).not.toThrow(/secret/);
});
