import { Readable } from "node:stream";
import { newId } from "@wrenn/contracts";
import { describe, expect, test } from "vitest";
import { readArguments } from "./arguments.ts";
import { readAgentConfig } from "./config.ts";
import { reachableAddress } from "./host/address.ts";

const nothing = Readable.from([]);

describe("arguments", () => {
  test("are none, or a token and an address", async () => {
    expect(await readArguments([], nothing)).toEqual({});
    const given = await readArguments(["--register", "t", "--address", "192.0.2.7:50051"], nothing);
    expect(given).toEqual({ register: "t", address: "192.0.2.7:50051" });
  });

  test("take the token from standard input, where no list of processes shows it", async () => {
    expect(await readArguments(["--register", "-"], Readable.from(["secret\n"]))).toEqual({
      register: "secret",
    });
  });

  test.each([[["--regster", "t"]], [["--register"]], [["now"]]])(
    "%j is refused in one sentence",
    async (args) => {
      await expect(readArguments(args, nothing)).rejects.toMatchObject({
        code: "config_invalid",
        message: expect.stringMatching(/^[^\n]+; see wrenn-agent --help$/),
      });
    },
  );
});

describe("configuration", () => {
  test("has a default for everything", () => {
    expect(readAgentConfig({})).toMatchObject({
      listen: { host: "", port: 50051 },
      metricsListen: { host: "127.0.0.1", port: 50052 },
      controlPlaneUrl: "http://127.0.0.1:8000",
      registrationToken: undefined,
      address: undefined,
    });
  });

  test("says what capsules may take of this host, and what waits for them", () => {
    const given = {
      WRENN_MEMORY_OVERCOMMIT: "1.5",
      WRENN_MEMORY_RESERVE_MIB: "1024",
      WRENN_DISK_RESERVE_MIB: "2048",
      WRENN_MAX_CAPSULES: "40",
      WRENN_POOL_SIZE: "0",
      WRENN_POOLS: "minimal=2, python=0",
    };
    expect(readAgentConfig(given)).toMatchObject({
      ...{
        memoryOvercommit: 1.5,
        memoryReserveMib: 1024,
        diskReserveMib: 2048,
        maxCapsules: 40,
        poolSize: 0,
      },
      pools: new Map(Object.entries({ minimal: 2, python: 0 })),
    });
    expect(readAgentConfig({})).toMatchObject({ memoryOvercommit: 2, maxCapsules: 0, pools: new Map() });
  });

  test.each([
    ["WRENN_MEMORY_OVERCOMMIT", "0"],
    ["WRENN_MAX_CAPSULES", "-1"],
    ["WRENN_MAX_CAPSULES", "1.5"],
    ["WRENN_DISK_RESERVE_MIB", "1 GiB"],
    ["WRENN_POOL_SIZE", "65"],
    ["WRENN_POOLS", "minimal"],
    ["WRENN_POOLS", "../etc=1"],
    ["WRENN_POOLS", "minimal=999"],
  ])("%s=%s is refused", (name, value) => {
    expect(() => readAgentConfig({ [name]: value })).toThrow(new RegExp(`${name} must`));
  });

  test("takes the token from the environment, and rather from the command line", () => {
    const env = { WRENN_REGISTRATION_TOKEN: "from env" };
    expect(readAgentConfig(env).registrationToken).toBe("from env");
    expect(readAgentConfig(env, { register: "given" }).registrationToken).toBe("given");
  });

  test.each(["off", ""])("serves no metrics when their address is %j", (WRENN_HOST_METRICS_ADDR) => {
    expect(readAgentConfig({ WRENN_HOST_METRICS_ADDR }).metricsListen).toBeUndefined();
  });

  test.each([
    "http://192.0.2.1:8000",
    "http://cp.example.org",
    "http://127.example.org",
    "http://[2001:db8::1]:8000",
  ])("%s would carry the host token over a network", (WRENN_CP_URL) => {
    expect(() => readAgentConfig({ WRENN_CP_URL })).toThrow(/WRENN_CP_URL must be https unless/);
  });

  test.each(["https://192.0.2.1:8443", "http://localhost:8000", "http://[::1]:8000", "http://127.0.0.2:1"])(
    "%s does not",
    (WRENN_CP_URL) => {
      expect(readAgentConfig({ WRENN_CP_URL }).controlPlaneUrl).toBe(WRENN_CP_URL);
    },
  );

  test.each([
    "192.0.2.7",
    "host.example.org:50051",
    "192.0.2.7:0",
    "0.0.0.0:50051",
    "[::]:50051",
    ":50051",
    "",
  ])("--address %j is none that a control plane could dial", (address) => {
    expect(() => readAgentConfig({}, { address })).toThrow(/--address must be IP:PORT/);
  });

  test("--address takes both kinds of address", () => {
    for (const address of ["192.0.2.7:50051", "[2001:db8::7]:50051"]) {
      expect(readAgentConfig({}, { address }).address).toBe(address);
    }
  });
});

describe("the address that the control plane dials", () => {
  const config = (env: NodeJS.ProcessEnv, address?: string) => readAgentConfig(env, { address });
  const registered = `192.0.2.9:${newId("host").length}`;

  test("is the one given", () => {
    expect(reachableAddress(config({}, "192.0.2.7:1"), 50051, registered)).toBe("192.0.2.7:1");
  });

  test("or the one listened on, with the port that it got", () => {
    const on = (WRENN_HOST_LISTEN_ADDR: string) =>
      reachableAddress(config({ WRENN_HOST_LISTEN_ADDR }), 4711, registered);
    expect(on("192.0.2.8:0")).toBe("192.0.2.8:4711");
    expect(on("[::1]:0")).toBe("[::1]:4711");
    expect(on("localhost:0")).toBe("127.0.0.1:4711");
  });

  test("or the one registered with, or loopback for a neighbour, and else has to be given", () => {
    expect(reachableAddress(config({}), 50051, registered)).toBe(registered);
    expect(reachableAddress(config({}), 50051, undefined)).toBe("127.0.0.1:50051");
    const far = config({ WRENN_CP_URL: "https://cp.example.org" });
    expect(() => reachableAddress(far, 50051, undefined)).toThrow(/say with --address IP:PORT/);
  });
});
