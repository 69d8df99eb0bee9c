/** Keys of PostgreSQL's advisory locks: one number space per database, so they are all here. */
export const advisoryLocks = {
  migrations: 7_301_001,
  owner: 7_301_002,
  authority: 7_301_003,
} as const;
