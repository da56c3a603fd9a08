/** URLs of the parts: those that variables name, and what we make of them. A MongoDB URL may have several hosts, so URL cannot read it. */
import type { Endpoints } from './endpoints.ts';

/**
 * `RABBITMQ_URL` (with `RABBITMQ_MANAGEMENT_URL`, by default port 15672 of the same host with the same credentials),
 * `MONGODB_URL` and `KUBECONFIG`.
 */
export function namedByUrl(env: NodeJS.ProcessEnv): Partial<Endpoints> {
  const {
    RABBITMQ_URL: amqp,
    RABBITMQ_MANAGEMENT_URL: management,
    MONGODB_URL: mongodb,
    KUBECONFIG: kubeconfig,
  } = env;
  return {
    ...(amqp && { rabbitmq: { amqp, management: management || managementOf(amqp) } }),
    ...(mongodb && { mongodb }),
    ...(kubeconfig && { kubernetes: { kubeconfig } }),
  };
}

export function managementOf(amqp: string): string {
  const url = new URL(amqp);
  const scheme = url.protocol === 'amqps:' ? 'https' : 'http';
  const port = url.protocol === 'amqps:' ? 15671 : 15672;
  const user = url.username ? `${url.username}:${url.password}` : 'guest:guest';
  return `${scheme}://${user}@${url.hostname}:${port}`;
}

/** A MongoDB URL with its database replaced; credentials go on being looked up where they were. */
export function databaseUrl(base: string, database: string): string {
  const [, server, path = '', query = ''] = /^([^/]*\/\/[^/?]*)\/?([^?]*)\??(.*)$/.exec(base) ?? [];
  if (server === undefined) throw new TypeError('not a MongoDB URL');
  const options = query === '' ? [] : query.split('&');
  if (server.includes('@') && !options.some((option) => option.startsWith('authSource='))) {
    options.push(`authSource=${path || 'admin'}`);
  }
  return `${server}/${database}${options.length > 0 ? `?${options.join('&')}` : ''}`;
}

/** A URL for people. */
export const withoutPassword = (url: string): string => url.replace(/(\/\/[^/:@]*):[^/]*@/, '$1:***@');
