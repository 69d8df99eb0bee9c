import { afterAll, beforeAll, beforeEach } from "vitest";
import { startTestControlPlane, type TestControlPlane } from "./control-plane.ts";
import { startTestPostgres, type TestPostgres } from "./postgres.ts";

/**
 * PostgreSQL for the tests of a file, and for each of them a control plane on a database of its own.
 *
 * @param prepare is given the control plane before each test.
 */
export function withControlPlane(prepare: (cp: TestControlPlane) => void | Promise<void>): void {
  let postgres: TestPostgres;
  beforeAll(async () => {
    postgres = await startTestPostgres();
  });
  afterAll(() => postgres[Symbol.asyncDispose]());
  beforeEach(async () => {
    const cp = await startTestControlPlane(postgres);
    await prepare(cp);
    return () => cp[Symbol.asyncDispose]();
  });
}
