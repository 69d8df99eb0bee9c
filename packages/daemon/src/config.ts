import { WrennError } from "@wrenn/contracts";

/** How one variable becomes a value. Throws a plain Error whose message says what a right value looks like. */
export type Parse<T> = (text: string) => T;

export interface Variable<T> {
  /** Name in the environment. */
  readonly name: string;
  readonly parse: Parse<T>;
  /** Text parsed when the variable is unset or empty; a variable without one is required. */
  readonly fallback?: string;
}

type Values<V extends Record<string, Variable<unknown>>> = { [K in keyof V]: ReturnType<V[K]["parse"]> };

/**
 * Reads a configuration once, at the edge of a process. Every malformed or missing variable is named in the one
 * error it throws, without its value: a variable may hold a secret.
 */
export function readConfig<V extends Record<string, Variable<unknown>>>(
  variables: V,
  env: NodeJS.ProcessEnv,
): Values<V> {
  const problems: string[] = [];
  const values: Record<string, unknown> = {};
  for (const [key, variable] of Object.entries(variables)) {
    const text = env[variable.name] || variable.fallback;
    if (text === undefined) {
      problems.push(`${variable.name} is not set`);
      continue;
    }
    try {
      values[key] = variable.parse(text);
    } catch (error) {
      problems.push(`${variable.name} ${error instanceof Error ? error.message : "is malformed"}`);
    }
  }
  if (problems.length > 0) throw new WrennError("config_invalid", `configuration: ${problems.join("; ")}`);
  return values as Values<V>;
}

/** One of a fixed list of words. */
export function oneOf<const T extends string>(words: readonly T[]): Parse<T> {
  return (text) => {
    const word = words.find((candidate) => candidate === text);
    if (word === undefined) throw new Error(`must be one of ${words.join(", ")}`);
    return word;
  };
}

/** Text as it stands. */
export const text: Parse<string> = (value) => value;

/** An absolute path. */
export const absolutePath: Parse<string> = (value) => {
  if (!value.startsWith("/")) throw new Error("must be an absolute path");
  return value;
};

/** An http or https URL, without a trailing slash. */
export const httpUrl: Parse<string> = (value) => {
  if (!URL.canParse(value) || !/^https?:\/\//.test(value)) throw new Error("must be an http or https URL");
  return value.replace(/\/+$/, "");
};

/** A number within bounds, whole unless `fractions` are allowed. */
export function number(
  least: number,
  most: number,
  fractions: "whole" | "fractions" = "whole",
): Parse<number> {
  return (value) => {
    const parsed = /^\d+(\.\d+)?$/.test(value) ? Number(value) : Number.NaN;
    const fits = parsed >= least && parsed <= most && (fractions === "fractions" || Number.isInteger(parsed));
    if (fits) return parsed;
    throw new Error(`must be a ${fractions === "whole" ? "whole " : ""}number from ${least} to ${most}`);
  };
}
