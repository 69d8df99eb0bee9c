export * from "./capsule.ts";
export * from "./error.ts";
export * from "./exec.ts";
export * from "./files.ts";
export * from "./health.ts";
export * from "./host.ts";
export * from "./snapshot.ts";
