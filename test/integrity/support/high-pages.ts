import type { Guest } from "./guest.ts";

/** The devices of a PC take the addresses from 3 to 4 GiB: what lies above 3 GiB of the memory is at 4 GiB and higher. */
const firstHighPage = 2 ** 20;

const program = `
my ($pid) = @ARGV;
open my $maps, "<", "/proc/$pid/maps" or die;
open my $pages, "<:raw", "/proc/$pid/pagemap" or die;
my $high = 0;
while (<$maps>) {
  next if /vsyscall/;
  my ($from, $to) = map { hex($_) / 4096 } /^([0-9a-f]+)-([0-9a-f]+)/;
  next if $to - $from < 256;
  seek $pages, $from * 8, 0;
  read $pages, my $entries, ($to - $from) * 8;
  for my $entry (unpack "Q*", $entries) {
    $high++ if $entry >> 63 && ($entry & (1 << 55) - 1) >= ${firstHighPage};
  }
}
print $high;
`;

/** How many pages of a process's large mappings lie above 3 GiB of its guest's memory. */
export async function highPages(guest: Guest, pid: number): Promise<number> {
  return Number(await guest.sh(`perl -e '${program}' ${pid}`));
}
