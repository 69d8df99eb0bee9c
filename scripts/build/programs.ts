import { globSync } from "node:fs";

/** One executable of ours. */
export interface Program {
  readonly name: string;
  /** Entry point, below the repository. */
  readonly entry: string;
  /** Files of the repository that it carries under their own path; packages/daemon/src/program-files.ts reads them. */
  readonly files: readonly string[];
  readonly carriesPostgres?: boolean;
  readonly carriesEnvd?: boolean;
}

/** What `make build` makes besides envd. */
export function programs(root: string): readonly Program[] {
  const files = (pattern: string): string[] => globSync(pattern, { cwd: root }).sort();
  return [
    {
      name: "wrenn-cp",
      entry: "apps/control-plane/src/main.ts",
      files: files("apps/control-plane/src/database/migrations/*.sql"),
      carriesPostgres: true,
    },
    { name: "wrenn-agent", entry: "apps/host-agent/src/main.ts", files: [] },
    {
      name: "wrenn",
      entry: "apps/cli/src/main.ts",
      files: files("images/guest/*"),
      carriesPostgres: true,
      carriesEnvd: true,
    },
  ];
}
