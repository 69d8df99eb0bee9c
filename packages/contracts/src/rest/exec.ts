import { type Static, Type } from "typebox";

/** Output of one stream that a foreground answer holds; what is beyond is cut and the answer says so. */
export const maxForegroundOutputBytes = 8 * 1024 * 1024;

/** Limit of a foreground command that names none. */
export const defaultExecTimeoutSec = 30;

export const ExecBody = Type.Object(
  {
    cmd: Type.String({
      minLength: 1,
      description: "Program, found on PATH or given as a path. Not a shell line.",
    }),
    args: Type.Array(Type.String(), { default: [] }),
    timeout_sec: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 24 * 3600,
        description:
          "Seconds after which the process group is ended. When absent or 0: 30, as in earlier versions, and no " +
          "limit in the background.",
      }),
    ),
    envs: Type.Record(Type.String(), Type.String(), {
      default: {},
      description: "Added to the user's environment.",
    }),
    cwd: Type.Optional(Type.String({ description: "Working directory; the user's home when absent." })),
    user: Type.Optional(
      Type.String({ description: "User to run as; the capsule's default user when absent." }),
    ),
    tag: Type.Optional(
      Type.String({ minLength: 1, maxLength: 128, description: "Name to find the process by." }),
    ),
    background: Type.Boolean({ default: false, description: "Answer as soon as the process has started." }),
  },
  { title: "Exec", additionalProperties: false },
);

export type ExecBody = Static<typeof ExecBody>;

export const ExecResult = Type.Object(
  {
    sandbox_id: Type.String(),
    cmd: Type.String(),
    stdout: Type.String(),
    stderr: Type.String(),
    exit_code: Type.Integer({
      description: "Exit code; 128 + signal number when a signal ended the process.",
    }),
    duration_ms: Type.Integer(),
    encoding: Type.Enum(["utf-8", "base64"], {
      description: "Of both streams: base64 as soon as one of them is not valid UTF-8.",
    }),
    truncated: Type.Boolean({
      description: `A stream was longer than ${maxForegroundOutputBytes} bytes and was cut.`,
    }),
  },
  { title: "ExecResult" },
);

export type ExecResult = Static<typeof ExecResult>;

export const BackgroundProcess = Type.Object(
  { sandbox_id: Type.String(), cmd: Type.String(), pid: Type.Integer(), tag: Type.String() },
  { title: "BackgroundProcess" },
);

export type BackgroundProcess = Static<typeof BackgroundProcess>;
