/** What the environment's variables name already. */
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
