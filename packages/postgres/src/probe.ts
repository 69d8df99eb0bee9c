import { WrennError } from "@wrenn/contracts";
import { isBuiltProgram, runCommand } from "@wrenn/daemon";
import pg from "pg";
import { findPackage } from "./binaries.ts";

const connectTimeoutMs = 5_000;

/**
 * Connects to an operator's PostgreSQL.
 *
 * @returns its version, as `16.4`.
 * @throws {WrennError} `database_unavailable` with the reason, which holds nothing of the URL.
 */
export async function postgresVersion(databaseUrl: string, signal: AbortSignal): Promise<string> {
  signal.throwIfAborted();
  await using stack = new AsyncDisposableStack();
  try {
    const client = new pg.Client({
      connectionString: databaseUrl,
      connectionTimeoutMillis: connectTimeoutMs,
      query_timeout: connectTimeoutMs,
      application_name: "wrenn doctor",
    });
    stack.defer(() => client.end());
    // A connection that breaks is an error of the call that uses it.
    client.on("error", () => {});
    await client.connect();
    const { rows } = await client.query<{ server_version: string }>("show server_version");
    return rows[0]?.server_version ?? "unknown";
  } catch (cause) {
    // A refused connection to a name with several addresses is an error without a message of its own.
    const first = cause instanceof AggregateError ? cause.errors[0] : cause;
    const reason = first instanceof TypeError ? "DATABASE_URL is not a URL" : messageOf(first);
    throw new WrennError("database_unavailable", `PostgreSQL cannot be used: ${reason}`, { cause });
  }
}

/**
 * Starts the PostgreSQL that npm installed, far enough to tell its version.
 *
 * @returns undefined for the one that a built program carries: it is not unpacked before it is needed.
 * @throws {WrennError} `image_missing` when it is not installed or cannot run here.
 */
export async function embeddedPostgresVersion(signal: AbortSignal): Promise<string | undefined> {
  if (process.getuid?.() === 0) await requireUserNamespaces(signal);
  if (isBuiltProgram) return undefined;
  const { postgres } = await findPackage();
  try {
    const { stdout } = await runCommand(postgres, ["--version"], { signal });
    return /(\d+(\.\d+)*)/.exec(stdout)?.[1];
  } catch (cause) {
    signal.throwIfAborted();
    const sentence = `the PostgreSQL of npm does not run here: ${messageOf(cause)}; run \`npm ci\``;
    throw new WrennError("image_missing", sentence, { cause });
  }
}

/** PostgreSQL refuses user id 0, so as root it runs in a user namespace. */
async function requireUserNamespaces(signal: AbortSignal): Promise<void> {
  await runCommand("unshare", ["--user", "--map-user=1", "--", "true"], { signal }).catch(
    (cause: unknown) => {
      signal.throwIfAborted();
      const sentence =
        "PostgreSQL needs user namespaces to run as root: raise user.max_user_namespaces, and install util-linux";
      throw new WrennError("image_missing", sentence, { cause });
    },
  );
}

function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
