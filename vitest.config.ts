import { defineConfig } from "vitest/config";

/** Unit suites sit beside the code; suites that need the whole platform share one, started once, under test/. */
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
          name: "platform",
          include: ["test/**/*.test.ts", "apps/host-agent/src/**/*.vm.test.ts"],
          globalSetup: "test/global-setup.ts",
          testTimeout: 120_000,
          hookTimeout: 240_000,
          // The suites share two cores with the VMs that they start.
          fileParallelism: false,
        },
      },
    ],
  },
});
