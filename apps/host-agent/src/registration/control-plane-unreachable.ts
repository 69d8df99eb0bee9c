import { errnoOf } from "@wrenn/contracts";

/** There was no answer: what was asked may have been done, or not. */
export class ControlPlaneUnreachable extends Error {
  constructor(url: string, cause: unknown) {
    const reason = errnoOf(cause) ?? (cause instanceof Error ? cause.name : "no answer");
    super(`the control plane at ${url} cannot be reached (${reason})`, { cause });
    this.name = "ControlPlaneUnreachable";
  }
}
