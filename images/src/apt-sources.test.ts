import { mkdir, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { guestSources } from "./apt-sources.ts";

const keyring = "signed-by=/usr/share/keyrings/debian-archive-keyring.gpg";
let etcApt: string;

beforeEach(async () => {
  etcApt = await mkdtemp(join(tmpdir(), "wrenn-apt-"));
});

afterEach(() => rm(etcApt, { recursive: true }));

async function write(name: string, text: string): Promise<void> {
  await mkdir(dirname(join(etcApt, name)), { recursive: true });
  await writeFile(join(etcApt, name), text);
}

test("a host without Debian sources gets Debian's own addresses", async () => {
  await write("sources.list", "deb http://archive.ubuntu.com/ubuntu jammy main\n");
  expect(await guestSources(etcApt)).toBe(
    [
      `deb [${keyring}] http://deb.debian.org/debian bookworm main`,
      `deb [${keyring}] http://deb.debian.org/debian bookworm-updates main`,
      `deb [${keyring}] http://deb.debian.org/debian-security bookworm-security main`,
      "",
    ].join("\n"),
  );
});

test("the mirrors and keyring of stanzas are taken for the guest's release", async () => {
  await write(
    "sources.list.d/debian.sources",
    `# comment
Types: deb deb-src
URIs: http://mirror.test/debian
Suites: trixie trixie-updates
# comment
Components: main contrib
Signed-By: /etc/apt/keyrings/mirror.gpg

Types: deb
URIs: http://mirror.test/security
Suites: trixie-security
Components:
 main
`,
  );
  expect(await guestSources(etcApt)).toBe(
    [
      "deb [signed-by=/etc/apt/keyrings/mirror.gpg] http://mirror.test/debian bookworm main",
      "deb [signed-by=/etc/apt/keyrings/mirror.gpg] http://mirror.test/debian bookworm-updates main",
      `deb [${keyring}] http://mirror.test/security bookworm-security main`,
      "",
    ].join("\n"),
  );
});

test("third parties that use Debian's suite names do not count", async () => {
  await write(
    "sources.list",
    "deb [trusted=yes arch=amd64] http://mirror.test/debian bookworm main # ours\n",
  );
  await write("sources.list.d/agitlab.list", "deb https://packages.test/runner bookworm main\n");
  await write("sources.list.d/docker.list", "deb https://docker.test/debian bookworm stable\n");
  await write(
    "sources.list.d/off.sources",
    "Types: deb\nURIs: http://o\nSuites: bookworm\nEnabled: no\nComponents: main\n",
  );
  expect(await guestSources(etcApt)).toBe(
    [`deb [trusted=yes ${keyring}] http://mirror.test/debian bookworm main`, ""].join("\n"),
  );
});

test("a list of mirrors in a file is followed", async () => {
  await write("mirrors/debian.list", "# first\nhttps://cloud.test/debian\nhttps://other.test/debian\n");
  await write(
    "sources.list.d/debian.sources",
    `Types: deb\nURIs: mirror+file://${join(etcApt, "mirrors/debian.list")}\nSuites: bookworm\nComponents: main\n`,
  );
  expect(await guestSources(etcApt)).toContain("] https://cloud.test/debian bookworm main");
});
