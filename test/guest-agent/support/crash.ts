import { Followed } from "./followed.ts";
import type { Guest } from "./guest.ts";

/** Kills the guest agent from inside, and returns when it is dead; the next request is served by the next one. */
export async function crash(guest: Guest): Promise<void> {
  const process = { cmd: "/bin/sh", args: ["-c", "kill -KILL $PPID"] };
  const broken = new Followed(guest.as({ user: "root" }).processes.start({ process, stdin: false }));
  await broken.ended.then(
    () => {
      throw new Error("the agent did not die");
    },
    () => {},
  );
}
