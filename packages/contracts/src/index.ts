export * from "./capsule-state.ts";
export * from "./connect-error.ts";
export * from "./errors.ts";
export * from "./finding.ts";
export * from "./ids.ts";
export * from "./sizes.ts";
