/**
 * What the API server refused for a subscription: a value, a right, or somebody's webhook. It is asked again after a while,
 * twice as long each time, and at once when something else is wanted; the statistics come every few seconds, and change nothing.
 */
import { isDeepStrictEqual } from 'node:util';
import { BadRequestError, ForbiddenError, InvalidError } from '@warren/controller';
import type { EngineObject } from './engines.ts';
import { refused } from './state.ts';
import type { ScalingState } from './state.ts';

interface Refusal {
  wanted: EngineObject;
  state: ScalingState;
  waitMs: number;
  /** By the clock. */
  until: number;
}

const FIRST_WAIT_MS = 5_000;
const LONGEST_WAIT_MS = 60_000;

export class Refusals {
  readonly #now: () => number;
  readonly #byKey = new Map<string, Refusal>();

  /** @param now milliseconds of a clock that only goes on */
  constructor(now: () => number) {
    this.#now = now;
  }

  /** What is still to be said of an object that would be refused again. */
  standing(key: string, wanted: EngineObject): ScalingState | undefined {
    const last = this.#last(key, wanted);
    return last !== undefined && this.#now() < last.until ? last.state : undefined;
  }

  /** What is to be said of an error; undefined where it is no refusal, and comes and goes by itself. */
  add(key: string, wanted: EngineObject, error: unknown): ScalingState | undefined {
    if (!isRefusal(error)) return undefined;
    const last = this.#last(key, wanted);
    const waitMs = last === undefined ? FIRST_WAIT_MS : Math.min(2 * last.waitMs, LONGEST_WAIT_MS);
    const { kind, metadata } = wanted;
    const state = refused(
      'EngineRefused',
      `the API server refuses the ${kind} ${metadata.name}: ${error.message}`,
    );
    this.#byKey.set(key, { wanted, state, waitMs, until: this.#now() + waitMs });
    return state;
  }

  forget(key: string): void {
    this.#byKey.delete(key);
  }

  #last(key: string, wanted: EngineObject): Refusal | undefined {
    const last = this.#byKey.get(key);
    return isDeepStrictEqual(last?.wanted, wanted) ? last : undefined;
  }
}

function isRefusal(error: unknown): error is Error {
  return error instanceof BadRequestError || error instanceof ForbiddenError || error instanceof InvalidError;
}
