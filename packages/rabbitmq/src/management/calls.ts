/** Calls about one virtual host, with their answers read. */
import { z } from 'zod';
import { queueAnswer, readAnswer, type QueueFound } from './found.ts';
import { path, type Answer, type CallOptions, type ManagementHttp, type Method } from './http.ts';

export interface Signal {
  signal?: AbortSignal;
}

export class VhostCalls {
  readonly vhost: string;
  readonly #http: ManagementHttp;

  constructor(http: ManagementHttp, vhost: string) {
    this.#http = http;
    this.vhost = vhost;
  }

  call(method: Method, where: string, options: CallOptions): Promise<Answer> {
    return this.#http.call(method, where, options);
  }

  async get<T>(schema: z.ZodType<T>, where: string, options: CallOptions): Promise<T> {
    const { body } = await this.#http.call('GET', where, options);
    return readAnswer(schema, body, `GET ${where}`);
  }

  /** In one answer: for every page the broker would go through all of them once more (docs/adr/0028). */
  list<T>(
    schema: z.ZodType<T>,
    where: string,
    options: Signal,
    query: Record<string, string> = {},
  ): Promise<T[]> {
    return this.get(z.array(schema), where, { query: { disable_stats: 'true', ...query }, ...options });
  }

  queues(options: Signal): Promise<QueueFound[]> {
    return this.list(queueAnswer, path('queues', this.vhost), options, { enable_queue_totals: 'true' });
  }

  async delete(where: string, options: CallOptions): Promise<void> {
    await this.#http.call('DELETE', where, { ...options, accept: [404] });
  }
}
