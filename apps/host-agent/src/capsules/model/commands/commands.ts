import fc from "fast-check";
import { memoryBytes, pageBytes } from "../expected.ts";
import { Create } from "./create.ts";
import { Destroy } from "./destroy.ts";
import { KillAgent, KillMachine } from "./kill.ts";
import { manners, Operate, operationNames } from "./operate.ts";
import { Write } from "./write.ts";

const choice = fc.nat({ max: 11 });
const page = fc.nat({ max: memoryBytes / pageBytes - 1 });
const byte = fc.nat({ max: 255 });
const fault = fc.record({ when: fc.constantFrom("before", "after"), step: fc.nat({ max: 9 }) });
const maybeFault = fc.oneof(
  { weight: 3, arbitrary: fc.constant(undefined) },
  { weight: 1, arbitrary: fault },
);

const command = fc.oneof(
  { weight: 4, arbitrary: maybeFault.map((at) => new Create(at)) },
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
