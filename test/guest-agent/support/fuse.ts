import { Signal } from "@wrenn/contracts/process";
import { Followed } from "./followed.ts";
import type { Guest } from "./guest.ts";

/**
 * A file system of one empty directory, served by a program: to the kernel as remote as one of the network. It answers
 * what fuse(4) needs for `stat` and `statfs`, and that it knows nothing else.
 */
const server = (path: string): string => `
  use strict; $| = 1; $^F = 100;
  my $device = "/run/fuse-device";
  system("mknod", $device, "c", 10, 229) if !-e $device;
  open(my $fuse, "+<", $device) or do { print "none\\n"; exit };
  my $options = "fd=" . fileno($fuse) . ",rootmode=40000,user_id=0,group_id=0";
  $SIG{CHLD} = sub { wait; print $? ? "none\\n" : "mounted\\n"; exit if $? };
  if (!fork) { exec("mount", "-i", "-t", "fuse", "-o", $options, "none", "${path}") or exit 1 }
  my $answer = sub {
    my ($unique, $error, $body) = @_;
    syswrite($fuse, pack("LlQ", 16 + length $body, -$error, $unique) . $body);
  };
  while (1) {
    my $length = sysread($fuse, my $request, 1 << 18);
    # Until it is mounted, the device gives nothing and says so at once.
    next if !defined $length && ($!{EINTR} || $!{EPERM} && defined select(undef, undef, undef, 0.01));
    last if !$length;
    my (undef, $opcode, $unique) = unpack("LLQ", $request);
    if ($opcode == 26) { $answer->($unique, 0, pack("LLLLSSLLx32", 7, 31, 4096, 0, 1, 1, 4096, 1)) }
    elsif ($opcode == 3) { $answer->($unique, 0, pack("QLLQ6L10", 60, 0, 0, 1, (0) x 8, 040755, 2, (0) x 5)) }
    elsif ($opcode == 17) { $answer->($unique, 0, pack("Q5L4x24", (0) x 5, 4096, 255, 4096, 0)) }
    elsif ($opcode != 2 && $opcode != 36 && $opcode != 42) { $answer->($unique, 38, "") }
  }`;

/** Mounts it over an empty directory until the stack ends. @returns whether this guest can. */
export async function mountFuse(stack: AsyncDisposableStack, guest: Guest, path: string): Promise<boolean> {
  const process = { cmd: "/usr/bin/perl", args: ["-MErrno", "-e", server(path)] };
  const followed = new Followed(guest.processes.start({ process, stdin: false }));
  const pid = await followed.pid;
  stack.defer(async () => {
    await guest.shell(`umount -l ${path}`);
    const process = { selector: { case: "pid" as const, value: pid } };
    await guest.processes.sendSignal({ process, signal: Signal.SIGKILL }).catch(() => {});
    await followed.ended;
  });
  await followed.prints("stdout", "\n");
  return followed.text("stdout") === "mounted\n";
}
