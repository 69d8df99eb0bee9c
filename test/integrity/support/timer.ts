import { startInBackground } from "./background.ts";
import type { Guest } from "./guest.ts";

/** A timer of the kernel's that goes off every 100 ms, and a process that writes how often it has. */
const program = `
my ($create, $settime) = \`uname -m\` =~ /x86_64/ ? (283, 286) : (85, 86);
my $fd = syscall($create, 1, 0);
my $spec = pack("q4", 0, 100_000_000, 0, 100_000_000);
die if syscall($settime, $fd, 0, $spec, 0) != 0;
open my $timer, "<&=", $fd or die;
my $total = 0;
while (sysread $timer, my $expired, 8) {
  $total += unpack("Q", $expired);
  open my $out, ">", "/run/expired.new" or die;
  print $out $total;
  close $out;
  rename "/run/expired.new", "/run/expired";
}
`;

export const timerPeriodMs = 100;

export async function startTimer(guest: Guest): Promise<void> {
  await guest.sh(`cat > /run/timer.pl <<'END'\n${program}\nEND\n`);
  await startInBackground(guest, "exec perl /run/timer.pl");
  await guest.sh("until [ -s /run/expired ]; do sleep 0.1; done");
}

/** How often it has gone off. */
export async function expirations(guest: Guest): Promise<number> {
  return Number(await guest.sh("cat /run/expired"));
}
