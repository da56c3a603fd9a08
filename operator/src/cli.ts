/** The command line. Says what it understood, or what to write instead. */
import { parsed } from './arguments.ts';
import { UsageError } from './errors.ts';
import { parsePlan, PLAN_HELP } from './plan/args.ts';
import type { PlanCommand } from './plan/args.ts';

export const HELP = `warren: keeps RabbitMQ as the EventSubscriptions say

Usage
  main.ts --folder DIR [--state DIR]    resources are the YAML files of a folder
  main.ts --kubernetes                  resources are in a cluster (in-cluster configuration, or KUBECONFIG)
  main.ts validate -f FILE|DIR ...      says what is wrong with a file, as the API server would
  main.ts plan -f FILE|DIR|- ...        says what an apply would do

Options
  --folder DIR       reconcile the resources in DIR/*.yaml and follow edits
  --state DIR        where folder mode keeps its state (default .local):
                       status/<namespace>.<name>.yaml      what is in force, and how it is
                       status/problems.txt                 mistakes in the folder, with file and line
                       bindings/<namespace>/<name>/<key>   what a consumer needs (Service Binding specification)
                       secrets/<namespace>/<name>/<key>    what an EventBroker's secretRef names: uri, management-uri
  --kubernetes       reconcile the resources of a cluster
  --namespace NAME   only EventSubscriptions of this namespace (Kubernetes)
  --workers N        subscriptions reconciled at the same time (default 64)
  --resync SECONDS   how often the broker is compared with what is wanted (default 15, at most 30)
  --help, --version

Environment
  OPERATOR_PORT             /livez, /readyz and /metrics (default 3000)
  OPERATOR_NAMESPACE        where the leader election's Lease lies (default: the pod's own, or warren-system)
  LOG_LEVEL                 debug, info, warn, error (default info)
  WARREN_ABANDON_AFTER_S    how long a deletion waits for a broker that does not answer (default 600)
  WARREN_SCALING            true: act on spec.scaling (Kubernetes; default false)
  EXTERNAL_METRICS_PORT     external.metrics.k8s.io over TLS, with scaling (default 3443)
  WARREN_SERVICE            the Service that leads to the operator, with scaling (default warren)
  CRD_DIR                   where the CRDs are read from in folder mode (default charts/warren/crds)
${PLAN_HELP}`;

export type Command =
  | { command: 'help' }
  | { command: 'version' }
  | { command: 'validate'; files: string[] }
  | PlanCommand
  | {
      command: 'run';
      source: { mode: 'folder'; folder: string; state: string } | { mode: 'kubernetes'; namespace?: string };
      workers: number;
      resyncMs: number;
    };

export function parseCommand(args: readonly string[]): Command {
  if (args[0] === 'plan' && !args.some((arg) => arg === '--help' || arg === '-h'))
    return parsePlan(args.slice(1));
  const { values, positionals } = parse(args);
  if (values.help === true) return { command: 'help' };
  if (values.version === true) return { command: 'version' };
  const [first, ...rest] = positionals;
  if (first === 'validate') {
    const files = [...(values.file ?? []), ...rest];
    if (files.length === 0) throw new UsageError('validate what? Give a file or a folder: validate -f FILE');
    return { command: 'validate', files };
  }
  if (first !== undefined)
    throw new UsageError(`there is no command "${first}"; --help tells which there are`);
  const workers = positive('--workers', values.workers ?? '64', 1_000);
  const resyncMs = positive('--resync', values.resync ?? '15', 30) * 1_000;
  if (values.kubernetes === true) {
    if (values.folder !== undefined)
      throw new UsageError('--folder and --kubernetes exclude each other: give one');
    return {
      command: 'run',
      source: {
        mode: 'kubernetes',
        ...(values.namespace === undefined ? {} : { namespace: values.namespace }),
      },
      workers,
      resyncMs,
    };
  }
  if (values.folder === undefined)
    throw new UsageError('where are the resources? Give --folder DIR or --kubernetes; --help tells more');
  const source = { mode: 'folder', folder: values.folder, state: values.state ?? '.local' } as const;
  return { command: 'run', source, workers, resyncMs };
}

function parse(args: readonly string[]) {
  return parsed(args, {
    folder: { type: 'string' },
    state: { type: 'string' },
    kubernetes: { type: 'boolean' },
    namespace: { type: 'string' },
    workers: { type: 'string' },
    resync: { type: 'string' },
    file: { type: 'string', short: 'f', multiple: true },
    help: { type: 'boolean', short: 'h' },
    version: { type: 'boolean' },
  });
}

function positive(name: string, text: string, atMost: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1 || value > atMost)
    throw new UsageError(`${name} takes a whole number from 1 to ${atMost}, not "${text}"`);
  return value;
}
