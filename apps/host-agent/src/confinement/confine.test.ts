import { expect, test } from "vitest";
import { confine } from "./confine.ts";

const confinement = {
  uid: 1_900_000_007,
  namespacePath: "/run/netns/wrenn-7",
  jail: { mountNamespace: "/proc/1/fd/20", ipcNamespace: "/proc/1/fd/21" },
  limits: { fileBytes: 4096, threads: 9, openFiles: 64 },
};

test("a program is entered through namespaces, limits and its user, in this order", () => {
  const { file, args } = confine({ file: "/bin/true", args: ["--net", "x y"] }, confinement);
  expect(file).toBe("nsenter");
  const steps = ["prlimit", "setpriv", "/bin/true"].map((step) => args.indexOf(step));
  expect(steps).toEqual([...steps].sort((a, b) => a - b));
  expect(args.slice(-3)).toEqual(["/bin/true", "--net", "x y"]);
  expect(args).toEqual(expect.arrayContaining(["--reuid=1900000007", "--no-new-privs", "--fsize=4096"]));
});

test("its cgroup is entered first, while the host's files can be seen", () => {
  const { file, args } = confine({ file: "x", args: [] }, { ...confinement, cgroup: "/sys/fs/cgroup/a b" });
  expect(file).toBe("/bin/sh");
  expect(args.slice(2, 4)).toEqual(["/sys/fs/cgroup/a b/cgroup.procs", "nsenter"]);
});
