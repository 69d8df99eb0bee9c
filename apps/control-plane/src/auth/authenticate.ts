import { WrennError } from "@wrenn/contracts";
import type { FastifyRequest } from "fastify";
import type { Kysely } from "kysely";
import type { BackgroundTasks } from "../background-tasks.ts";
import type { Schema } from "../database/schema.ts";
import { apiKeyHash } from "./api-key.ts";
import { findApiKey, noteKeyUse } from "./store.ts";

/** On whose behalf a request is made. */
export interface Caller {
  teamId: string;
  /** Whether the team is the platform's. */
  platform: boolean;
}

declare module "fastify" {
  interface FastifyRequest {
    caller: Caller;
  }
}

const noteEveryMs = 60_000;

/** Makes the hook that sets `request.caller`, or refuses with `unauthorized`. */
export function makeAuthenticate(db: Kysely<Schema>, background: BackgroundTasks) {
  return async (request: FastifyRequest): Promise<void> => {
    const hash = apiKeyHash(presentedKey(request));
    const key = hash && (await findApiKey(db, hash));
    if (!key) {
      throw new WrennError("unauthorized", "no valid API key; send one as X-API-Key: wrn_… or Bearer token");
    }
    if (key.lastUsedAt === null || Date.now() - key.lastUsedAt.getTime() > noteEveryMs) {
      background.start("note key use", () => noteKeyUse(db, key.id));
    }
    request.caller = { teamId: key.teamId, platform: key.platform };
  };
}

/** Hook after authentication, for what belongs to the platform. @throws {WrennError} `forbidden` */
export async function requirePlatform({ caller }: FastifyRequest): Promise<void> {
  if (caller.platform) return;
  throw new WrennError("forbidden", "hosts belong to the platform; use a key of the platform's team");
}

function presentedKey(request: FastifyRequest): string {
  const header = request.headers["x-api-key"];
  if (typeof header === "string") return header.trim();
  return /^bearer\s+(\S+)\s*$/i.exec(request.headers.authorization ?? "")?.[1] ?? "";
}
