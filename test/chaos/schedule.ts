import { journalPoints } from "../support/journal-steps.ts";
import { Random } from "./random.ts";

/** What a client can ask for, and how often it does. */
const operationWeights = [
  ["create", 8],
  ["destroy", 6],
  ["write", 22],
  ["upload", 6],
  ["pause", 16],
  ["resume", 16],
  ["fork", 7],
  ["snapshot", 5],
  ["createFromSnapshot", 5],
  ["deleteSnapshot", 3],
  ["hibernate", 5],
  ["patch", 4],
  ["ping", 2],
  ["get", 2],
] as const;

export type OperationKind = (typeof operationWeights)[number][0];

/** What is killed. */
const killWeights = [
  ["agent", 5],
  ["agentAtStep", 5],
  ["controlPlane", 4],
  ["postgres", 2],
  ["controlPlaneAndAgent", 1],
  ["machine", 3],
  ["guestAgent", 2],
] as const;

export type KillKind = (typeof killWeights)[number][0];

/** One operation as it is decided ahead. Which capsule `target` means depends on which there are by then. */
export interface PlannedOperation {
  readonly name: string;
  readonly kind: OperationKind;
  /** From 0 up to 1: which of those that it can be done to. */
  readonly target: number;
  /** From 0 up to 1: for whatever else the operation has to choose. */
  readonly variant: number;
}

export interface PlannedKill {
  readonly kind: KillKind;
  /** It happens when so many operations of the round have begun. */
  readonly afterOperations: number;
  readonly delayMs: number;
  /** How long what was killed stays away. */
  readonly awayMs: number;
  readonly target: number;
  /** For the agent: where its next life ends. */
  readonly fault: string;
}

export interface Round {
  readonly number: number;
  /** What each client does, one after the other. */
  readonly clients: readonly (readonly PlannedOperation[])[];
  readonly kills: readonly PlannedKill[];
}

const clientCount = 4;
const operationsOfRound = 24;
const killsOfRound = 4;

/** Rounds of as many operations as asked for in all. Nothing is killed in each fourth: then everything has to succeed. */
export function planRounds(seed: number, operations: number): Round[] {
  const rounds: Round[] = [];
  for (let left = operations; left > 0; left -= operationsOfRound) {
    const number = rounds.length + 1;
    const random = new Random(seed).derive(`round ${number}`);
    const size = Math.min(left, operationsOfRound);
    const clients = Array.from({ length: clientCount }, (_, client) => {
      const own = Math.floor((size + clientCount - 1 - client) / clientCount);
      return planClient(`r${number}c${client + 1}`, own, random.derive(`client ${client}`));
    });
    const kills = number % 4 === 3 ? [] : planKills(size, random.derive("kills"));
    rounds.push({ number, clients, kills });
  }
  return rounds;
}

function planClient(name: string, count: number, random: Random): PlannedOperation[] {
  return Array.from({ length: count }, (_, index) => ({
    name: `${name}o${index + 1}`,
    kind: random.weighted(operationWeights),
    target: random.next(),
    variant: random.next(),
  }));
}

function planKills(operations: number, random: Random): PlannedKill[] {
  const planned = Array.from({ length: killsOfRound }, () => ({
    kind: random.weighted(killWeights),
    afterOperations: 1 + random.below(operations),
    delayMs: random.below(1_500),
    awayMs: random.below(2_000),
    target: random.next(),
    fault: journalPoints[random.below(journalPoints.length)] ?? "",
  }));
  return planned.sort((a, b) => a.afterOperations - b.afterOperations);
}
