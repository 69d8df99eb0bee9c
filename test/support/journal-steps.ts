/** The steps that the agent's journal has, each written before it is done: of every operation, in their order. */
const steps = [
  ...[
    "create",
    "source",
    "run_dir",
    "disk",
    "disk_size",
    "slot",
    "machine",
    "started",
    "claim",
    "running",
    "command",
  ],
  ...[
    "pause",
    "paused",
    "resume",
    "layers",
    "snapshot",
    "went_on",
    "hibernate",
    "hibernated",
    "stayed",
    "kept",
    "forked",
  ],
  ...["failed", "destroy", "release:machine", "release:run_dir", "release:slot", "release:disk"],
  ...["release:source", "release:snapshot", "release:archive"],
] as const;

/** Every point at which the agent can be made to end: before and after each step is noted. */
export const journalPoints: readonly string[] = steps.flatMap((step) => [`before:${step}`, `after:${step}`]);
