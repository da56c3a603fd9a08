/** What `npm start` shows at the end: where everything is, and three things to try. Pure. */
import { serviceNames, type ServiceName } from './shop.ts';
import type { Paint } from './terminal.ts';

export interface Whereabouts {
  readonly urls: Readonly<Record<ServiceName, string>>;
  readonly operatorUrl: string;
  /** `http://user:password@host:port`: a page with a login. */
  readonly managementUrl: string;
  readonly vhost: string;
  /** As shown: relative to the repository. */
  readonly stateDir: string;
  readonly samples: string;
  /** Set where the resources are in a cluster. */
  readonly kubeconfig: string | undefined;
  readonly userId: string;
  /** Where traces go, if anywhere. */
  readonly tracesUrl: string | undefined;
  /** The local mail server answers 451 to mails for this domain. */
  readonly refusedDomain: string;
}

export function addressLines(at: Whereabouts, paint: Paint): string[] {
  const management = new URL(at.managementUrl);
  const login = `${decodeURIComponent(management.username)} / ${decodeURIComponent(management.password)}`;
  const row = (name: string, where: string, more = '') =>
    `  ${paint.bold(name.padEnd(14))}${paint.cyan(where.padEnd(27))}${paint.dim(more)}`.trimEnd();
  return [
    ...serviceNames.map((name) => row(name, at.urls[name], '/docs  /health  /metrics')),
    row('operator', at.operatorUrl, '/readyz  /metrics'),
    row('RabbitMQ', management.origin, `login ${login}`),
    at.kubeconfig === undefined
      ? row('status', `${at.stateDir}/status/`, 'one file a subscription, as kubectl get -o yaml')
      : row('cluster', `export KUBECONFIG=${at.kubeconfig}`, ''),
    row('logs', `${at.stateDir}/logs/`),
    ...(at.tracesUrl === undefined ? [] : [row('traces', at.tracesUrl, 'each order is one trace')]),
  ];
}

/** Commands to be pasted into another terminal; they work as they are, from the repository's folder. */
export function tryLines(at: Whereabouts, paint: Paint): string[] {
  const json = `-H 'content-type: application/json'`;
  const queue = `${at.managementUrl}/api/queues/${encodeURIComponent(at.vhost)}/shop.notification.dead`;
  const edit =
    at.kubeconfig === undefined
      ? [
          `sed -i 's/attempts: 10/attempts: 3/' ${at.samples}/notification.yaml`,
          `cat ${at.stateDir}/status/shop.notification.yaml`,
        ]
      : [
          `export KUBECONFIG=${at.kubeconfig}`,
          `kubectl -n shop patch esub notification --type merge \\`,
          `  -p '{"spec":{"delivery":{"retry":{"attempts":3}}}}'`,
          'kubectl -n shop get esub',
        ];
  const command = (text: string) => `       ${paint.cyan(text)}`;
  return [
    `  ${paint.bold('1  Place an order.')} Its events are told here, as they happen.`,
    command(`curl -s ${at.urls.order}/orders ${json} \\`),
    command(`  -d '{"userId":"${at.userId}",`),
    command(`       "lines":[{"sku":"tea","quantity":3,"unitPrice":12.5}]}'`),
    '',
    `  ${paint.bold('2  Edit a subscription.')} The operator changes the queue, and notification follows: it gives up`,
    '     after 3 attempts now, not 10.',
    ...edit.map(command),
    '',
    `  ${paint.bold('3  Break a consumer, and watch the dead letter.')} The mail server refuses this domain: you see`,
    '     each attempt; after the last one the message is set aside with its reason, and others go on.',
    command(`curl -s ${at.urls.user}/users ${json} \\`),
    command(`  -d '{"email":"eve@${at.refusedDomain}","name":"Eve"}'`),
    command(`curl -s ${queue}/get \\`),
    command(`  -d '{"count":1,"ackmode":"ack_requeue_true","encoding":"auto"}'`),
  ];
}
