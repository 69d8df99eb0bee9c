import { WrennError } from "@wrenn/contracts";
import pg from "pg";

/**
 * SQLSTATEs that say the server cannot serve now, not that the statement is wrong: connection failures (08),
 * no resources (53), statement timeout and shutdown (57), a read-only standby (25006), system errors (58).
 */
const unavailableStates = /^(08|53|57|58|25006)/;

/**
 * Turns an error of the driver into `database_unavailable` when it says that the database cannot be reached or
 * cannot serve. The driver's connection errors have no common class and some no code: whatever did not come from
 * the server, and is no mistake in our own call, is one.
 */
export function databaseError(error: unknown): unknown {
  if (error instanceof pg.DatabaseError) {
    return unavailableStates.test(error.code ?? "") ? unavailable(error) : error;
  }
  if (error instanceof WrennError || error instanceof TypeError || error instanceof RangeError) return error;
  return unavailable(error);
}

function unavailable(cause: unknown): WrennError {
  return new WrennError("database_unavailable", "the database cannot be reached at the moment; try again", {
    cause,
  });
}

/** Whether a row could not be written because what it refers to is gone (foreign_key_violation). */
export function refersToNothing(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === "23503";
}

/** Whether a row could not be written because another has what only one may have (unique_violation). */
export function isTaken(error: unknown): boolean {
  return error instanceof pg.DatabaseError && error.code === "23505";
}
