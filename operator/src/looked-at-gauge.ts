/**
 * A gauge that is looked at when it is read, and keeps nothing: prom-client's own holds a value with its labels, under a key made
 * of them, for each of ten thousand subscriptions between two scrapes, and makes all of them anew with the next.
 */
import { Gauge } from 'prom-client';
import type { GaugeConfiguration } from 'prom-client';

type Answer = Awaited<ReturnType<Gauge['get']>>;

export class LookedAtGauge extends Gauge {
  readonly #look: () => Answer['values'];

  constructor({ look, ...options }: GaugeConfiguration<string> & { look: () => Answer['values'] }) {
    super(options);
    this.#look = look;
  }

  override async get(): Promise<Answer> {
    return { ...(await super.get()), values: this.#look() };
  }
}
