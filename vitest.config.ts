import { defineConfig } from "vitest/config";

/** The suites share two cores with the VMs that they start. */
const withMachines = { testTimeout: 120_000, hookTimeout: 240_000, fileParallelism: false };

/**
 * Unit suites sit beside the code, and so do those of the host agent that need VMs and nothing else. Suites that need the
 * whole platform share one, started once; those that kill its parts start their own.
 */
export default defineConfig({
  test: {
    testTimeout: 30_000,
    hookTimeout: 60_000,
    projects: [
      {
        extends: true,
        test: {
          name: "unit",
          include: ["{apps,packages}/*/src/**/*.test.ts", "images/src/**/*.test.ts"],
          exclude: ["**/*.vm.test.ts"],
        },
      },
      {
        extends: true,
        test: {
          name: "machines",
          include: ["apps/host-agent/src/**/*.vm.test.ts"],
          globalSetup: "test/images-setup.ts",
          ...withMachines,
        },
      },
      {
        extends: true,
        test: {
          name: "platform",
          include: ["test/*.test.ts"],
          globalSetup: "test/global-setup.ts",
          ...withMachines,
        },
      },
      {
        extends: true,
        test: {
          name: "faults",
          include: ["test/faults/*.test.ts"],
          globalSetup: "test/images-setup.ts",
          ...withMachines,
        },
      },
    ],
  },
});
