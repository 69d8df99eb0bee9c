import { defineConfig } from "vitest/config";

/** The suites share two cores with the VMs that they start. */
const withMachines = { testTimeout: 120_000, hookTimeout: 240_000, fileParallelism: false };

/**
 * Unit suites sit beside the code, and so do those of the host agent that need VMs and nothing else. Suites that need the
 * whole platform share one, started once; those that kill its parts start their own. The guest agent's run against a bare
 * one and against a capsule's.
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
          name: "integrity",
          include: ["test/integrity/*.test.ts"],
          globalSetup: "test/global-setup.ts",
          ...withMachines,
        },
      },
      {
        extends: true,
        test: {
          name: "integrity-long",
          include: ["test/integrity/long/*.test.ts"],
          globalSetup: "test/global-setup.ts",
          ...withMachines,
          testTimeout: 1_200_000,
        },
      },
      {
        extends: true,
        test: {
          name: "guest-agent",
          include: ["test/guest-agent/*.test.ts"],
          globalSetup: "test/guest-agent/support/global-setup.ts",
          ...withMachines,
        },
      },
      {
        extends: true,
        test: {
          name: "guest-agent-long",
          include: ["test/guest-agent/long/*.test.ts"],
          globalSetup: "test/guest-agent/support/global-setup.ts",
          ...withMachines,
          testTimeout: 600_000,
        },
      },
      {
        extends: true,
        test: {
          name: "faults-long",
          include: ["test/faults/lifecycle-steps.test.ts"],
          globalSetup: "test/images-setup.ts",
          env: { WRENN_TEST_STEPS: "all" },
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
      {
        extends: true,
        test: {
          name: "chaos",
          include: ["test/chaos/*.test.ts"],
          globalSetup: "test/images-setup.ts",
          ...withMachines,
        },
      },
    ],
  },
});
