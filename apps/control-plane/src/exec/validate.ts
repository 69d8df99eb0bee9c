import { WrennError } from "@wrenn/contracts";
import type { ExecBody } from "@wrenn/contracts/rest";
import { refuseNul } from "../validation.ts";

/** Refuses what the schema cannot: text that an argument list or an environment cannot hold (execve(2)). */
export function checkExec(body: ExecBody): void {
  for (const field of ["cmd", "cwd", "user", "tag"] as const) refuseNul(field, body[field]);
  body.args.forEach((argument, index) => {
    refuseNul(`args[${index}]`, argument);
  });
  for (const [name, value] of Object.entries(body.envs)) {
    if (name === "" || /[=\0]/.test(name)) {
      const sentence = `envs has the name ${JSON.stringify(name)}; names are not empty and have no "=" and no NUL`;
      throw new WrennError("invalid_request", sentence, { field: "envs" });
    }
    refuseNul(`envs.${name}`, value);
  }
}
