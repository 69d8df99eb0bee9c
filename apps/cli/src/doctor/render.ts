import type { Finding, FindingStatus } from "@wrenn/contracts";

/** SGR sequences (ECMA-48): green, yellow, red. */
const colours: Readonly<Record<FindingStatus, string>> = { ok: "32", warning: "33", failing: "31" };
const statusWidth = "failing".length;

/** One line for each finding, aligned, with its cure below it, and how many there are of each at the end. */
export function render(findings: readonly Finding[], colour: boolean): string {
  const nameWidth = Math.max(...findings.map(({ name }) => name.length));
  const indent = " ".repeat(statusWidth + nameWidth + 4);
  const lines = findings.flatMap(({ name, status, detail, cure }) => [
    `${painted(status, colour)}  ${name.padEnd(nameWidth)}  ${oneLine(detail)}`,
    ...(cure ? [`${indent}→ ${oneLine(cure)}`] : []),
  ]);
  return `${lines.join("\n")}\n\n${summary(findings)}\n`;
}

function painted(status: FindingStatus, colour: boolean): string {
  const word = status.padEnd(statusWidth);
  return colour ? `\u001b[${colours[status]}m${word}\u001b[0m` : word;
}

/** What a program said may have several lines and move a terminal. */
function oneLine(text: string): string {
  return text.replace(/[\p{Cc}\s]+/gu, " ").trim();
}

function summary(findings: readonly Finding[]): string {
  const count = (status: FindingStatus) => findings.filter((finding) => finding.status === status).length;
  const [ok, warnings, failing] = [count("ok"), count("warning"), count("failing")];
  return `${ok} ok, ${warnings} ${warnings === 1 ? "warning" : "warnings"}, ${failing} failing`;
}
