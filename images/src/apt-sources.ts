import { readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { errnoOf } from "@wrenn/contracts";

/** The Debian release of the guest: its kernel and its packages. */
export const guestRelease = "bookworm";

const releases = "bullseye|bookworm|trixie|forky|duke|stable|oldstable|testing|sid|unstable";
const mainSuite = new RegExp(`^(${releases})$`);
const updatesSuite = new RegExp(`^(${releases})-updates$`);
const securitySuite = new RegExp(`^(${releases})-security$`);
const debianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

/** Where one of Debian's archives is, as the host's configuration says. */
interface Mirror {
  uri: string;
  suite: string;
  /** Options of the one-line format, such as `signed-by=/path`. */
  options: string[];
}

const debianMirrors: Mirror[] = [
  { uri: "http://deb.debian.org/debian", suite: guestRelease },
  { uri: "http://deb.debian.org/debian", suite: `${guestRelease}-updates` },
  { uri: "http://deb.debian.org/debian-security", suite: `${guestRelease}-security` },
].map((mirror) => ({ ...mirror, options: [`signed-by=${debianKeyring}`] }));

/**
 * Lines for a sources.list that fetch the guest's release from the host's mirrors (`etcApt` is its /etc/apt), so that
 * a host behind a local mirror needs no other. Updates and security come from where the host has them, and are left
 * out where it has none. Without a Debian source on the host, Debian's own addresses.
 */
export async function guestSources(etcApt = "/etc/apt"): Promise<string> {
  const mirrors = await hostMirrors(etcApt);
  const isConfigured = mirrors.some(({ suite }) => mainSuite.test(suite));
  return [mainSuite, updatesSuite, securitySuite]
    .map((kind) => (isConfigured ? mirrors : debianMirrors).find(({ suite }) => kind.test(suite)))
    .filter((mirror) => mirror !== undefined)
    .map(({ uri, suite, options }) => {
      const guestSuite = suite.replace(/^[a-z]+/, guestRelease);
      return `deb [${options.join(" ")}] ${uri} ${guestSuite} main\n`;
    })
    .join("");
}

/** Every `main` source of the host, Debian's own files first, because third parties use Debian's suite names too. */
async function hostMirrors(etcApt: string): Promise<Mirror[]> {
  const folder = join(etcApt, "sources.list.d");
  const names = (await listOrEmpty(folder)).sort();
  const files = [
    join(etcApt, "sources.list"),
    ...["debian.sources", ...names].map((name) => join(folder, name)),
  ];
  const mirrors: Mirror[] = [];
  for (const file of files) {
    if (file.endsWith(".list")) mirrors.push(...parseOneLine(await readOrEmpty(file)));
    if (file.endsWith(".sources")) mirrors.push(...parseDeb822(await readOrEmpty(file)));
  }
  return Promise.all(
    mirrors.map(async (mirror) => ({ ...mirror, uri: await resolveMirrorFile(mirror.uri) })),
  );
}

/** The one-line format: `deb [options] uri suite components`, see sources.list(5). */
function parseOneLine(text: string): Mirror[] {
  return text.split("\n").flatMap((line) => {
    const match = /^\s*deb\s+(?:\[([^\]]*)\]\s+)?(\S+)\s+(\S+)\s+([^#]*)/.exec(line);
    const [, options = "", uri = "", suite = "", components = ""] = match ?? [];
    if (!components.split(/\s+/).includes("main")) return [];
    return [{ uri, suite, options: keptOptions(options.split(/\s+/)) }];
  });
}

/** The stanza format: fields with continuation lines, stanzas apart by an empty line, see sources.list(5). */
function parseDeb822(text: string): Mirror[] {
  const withoutComments = text.replace(/^#.*\n?/gm, "");
  return withoutComments.split(/\n\s*\n/).flatMap((stanza) => {
    const fields = new Map<string, string[]>();
    for (const [, name = "", value = ""] of stanza.matchAll(/^([\w-]+):(.*(?:\n[ \t].*)*)/gm)) {
      fields.set(name.toLowerCase(), value.trim().split(/\s+/));
    }
    const words = (name: string) => fields.get(name) ?? [];
    const usable = words("types").includes("deb") && words("components").includes("main");
    if (!usable || words("enabled")[0] === "no") return [];
    const options = keptOptions([
      ...words("signed-by").map((path) => `signed-by=${path}`),
      ...words("trusted").map((value) => `trusted=${value}`),
    ]);
    return words("uris").flatMap((uri) => words("suites").map((suite) => ({ uri, suite, options })));
  });
}

/** Keeps what decides trust; a keyring embedded in the stanza is not a path and cannot be carried over. */
function keptOptions(options: readonly string[]): string[] {
  const kept = options.filter((option) => /^signed-by=\/|^trusted=/.test(option));
  return kept.some((option) => option.startsWith("signed-by="))
    ? kept
    : [...kept, `signed-by=${debianKeyring}`];
}

/** Debian's cloud images list their mirrors in a file; the guest has no such file and takes the first mirror. */
async function resolveMirrorFile(uri: string): Promise<string> {
  const file = /^mirror\+file:(?:\/\/)?(\/.*)$/.exec(uri)?.[1];
  if (file === undefined) return uri;
  return /^[a-z]+:\S+/m.exec(await readOrEmpty(file))?.[0] ?? uri;
}

async function listOrEmpty(folder: string): Promise<string[]> {
  return readdir(folder).catch((error: unknown) => whenAbsent(error, []));
}

async function readOrEmpty(file: string): Promise<string> {
  return readFile(file, "utf8").catch((error: unknown) => whenAbsent(error, ""));
}

function whenAbsent<T>(error: unknown, value: T): T {
  if (errnoOf(error) === "ENOENT") return value;
  throw error;
}
