import type { Api } from "../support/api.ts";
import { type Answer, answerOf } from "./answer.ts";
import type { CapsuleModel, UnderWay } from "./capsule-model.ts";
import type { Disturbances } from "./disturbances.ts";
import { judge, type Verdict } from "./judge.ts";
import type { Model } from "./model.ts";

export interface Request {
  /** Of the operation that it is of. */
  readonly name: string;
  readonly method: string;
  readonly path: string;
  readonly body?: unknown;
  /** Status of success. */
  readonly success: number;
  /** Whether it has to succeed as long as nobody else does anything to the capsule; asked when it has been answered. */
  readonly legal: boolean | (() => boolean);
  /** Asked twice with the same key, it is done once. */
  readonly key?: string;
}

export interface Outcome {
  readonly verdict: Verdict;
  readonly answer: Answer;
  /** Its time on the capsule, which tells whether another operation was beside it. */
  readonly underWay: UnderWay;
}

/** Asks for operations, notes what was answered, and tells where that cannot be right. */
export class Client {
  readonly model: Model;
  readonly #api: () => Api;
  readonly #disturbances: Disturbances;

  /** @param api of the platform as it serves now: its address may change when it is started again. */
  constructor(api: () => Api, model: Model, disturbances: Disturbances) {
    this.#api = api;
    this.model = model;
    this.#disturbances = disturbances;
  }

  /** One request about a capsule, or about none. */
  async ask(request: Request, capsule?: CapsuleModel): Promise<Outcome> {
    const { name, method, path, body } = request;
    const begun = performance.now();
    const underWay = capsule?.begin() ?? { contended: false };
    this.model.note(`${name} ${method} ${path} ${body instanceof FormData ? "(file)" : show(body)}`);
    const headers: Record<string, string> = request.key ? { "idempotency-key": request.key } : {};
    const answer = await answerOf((signal) => this.#api().call(method, path, body, headers, signal));
    capsule?.end(underWay);
    const legal = typeof request.legal === "function" ? request.legal() : request.legal;
    const { verdict, problem } = judge(answer, {
      success: request.success,
      certain: legal && !underWay.contended && capsule?.machineKilled !== true,
      contended: underWay.contended,
      disturbed: capsule?.machineKilled === true || this.#disturbances.since(begun),
    });
    const tookMs = Math.round(performance.now() - begun);
    this.model.note(`${name} ${verdict}: ${answer.status} ${answer.code} after ${tookMs} ms`);
    if (problem) this.model.violated(`${name}: ${method} ${path} ${problem}`);
    return { verdict, answer, underWay };
  }
}

function show(body: unknown): string {
  return body === undefined ? "" : JSON.stringify(body).slice(0, 120);
}
