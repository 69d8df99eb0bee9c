import fc from "fast-check";
import { memoryBytes, pageBytes } from "../expected.ts";
import { Create } from "./create.ts";
import { DeleteSnapshot } from "./delete-snapshot.ts";
import { Destroy } from "./destroy.ts";
import { Fork } from "./fork.ts";
import { KillAgent, KillMachine } from "./kill.ts";
import { manners, Operate, operationNames } from "./operate.ts";
import { TakeSnapshot } from "./take-snapshot.ts";
import { Write } from "./write.ts";

const choice = fc.nat({ max: 11 });
const timely = manners.filter((manner) => manner !== "late");
const page = fc.nat({ max: memoryBytes / pageBytes - 1 });
const byte = fc.nat({ max: 255 });
const fault = fc.record({ when: fc.constantFrom("before", "after"), step: fc.nat({ max: 9 }) });
const maybeFault = fc.oneof(
  { weight: 3, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fault },
);

const command = fc.oneof(
  { weight: 4, arbitrary: maybeFault.map((at) => new Create(undefined, at)) },
  { weight: 2, arbitrary: fc.tuple(choice, maybeFault).map(([which, at]) => new Create(which, at)) },
  {
    weight: 4,
    arbitrary: fc
      .tuple(choice, fc.integer({ min: 1, max: 3 }), fc.constantFrom(...timely), maybeFault)
      .map(([which, count, manner, at]) => new Fork(which, count, manner, at)),
  },
  {
    weight: 3,
    arbitrary: fc
      .tuple(choice, fc.constantFrom(...timely), maybeFault)
      .map(([which, manner, at]) => new TakeSnapshot(which, manner, at)),
  },
  { weight: 2, arbitrary: choice.map((which) => new DeleteSnapshot(which)) },
  { weight: 2, arbitrary: fc.tuple(choice, maybeFault).map(([which, at]) => new Destroy(which, at)) },
  {
    weight: 10,
    arbitrary: fc
      .tuple(fc.constantFrom(...operationNames), choice, fc.constantFrom(...manners), maybeFault)
      .map(([name, which, manner, at]) => new Operate(name, which, manner, at)),
  },
  {
    weight: 5,
    arbitrary: fc.tuple(choice, page, byte).map(([which, at, value]) => new Write(which, at, value)),
  },
  {
    weight: 1,
    arbitrary: fc.tuple(choice, fc.boolean()).map(([which, both]) => new KillMachine(which, both)),
  },
  { weight: 1, arbitrary: fc.constant(new KillAgent()) },
);

/** A life of a host. A killed agent takes longer than all else, so there are few of these. */
export const commands = fc.commands([command], { maxCommands: 30, size: "max" });
