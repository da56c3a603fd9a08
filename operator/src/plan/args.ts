/** The command line of `warren plan`. */
import { parsed } from '../arguments.ts';
import { UsageError } from '../errors.ts';

export interface PlanCommand {
  command: 'plan';
  /** Files, folders, `-`. */
  files: string[];
  /** Of documents that name none. */
  namespace?: string;
  /** What is in force and in no manifest would be deleted. */
  prune: boolean;
  output: 'text' | 'json';
  /** Ask no API server. */
  offline: boolean;
  /** The state folder of an operator in folder mode. Implies `offline`. */
  state?: string;
}

export const PLAN_HELP = `
Plan
  plan -f FILE|DIR|- ...    what an apply of these resources would do; writes nothing, anywhere
    -n, --namespace NAME    of documents that name none (default: that of the kubeconfig's context)
    --prune                 what the namespaces of the manifests hold beside them would be deleted
    -o, --output FORMAT     text (default) or json
    --offline               ask no API server: validate by the CRDs of this version
    --state DIR             as --offline, compared with what an operator in folder mode has in force
  exit code                 0: no change, 2: changes, 1: a mistake, a conflict, or something could not be read
  RABBITMQ_URL, RABBITMQ_MANAGEMENT_URL    the broker, where the Secret of the EventBroker is not to be read
`;

/** @throws {UsageError} */
export function parsePlan(args: readonly string[]): PlanCommand {
  const { values, positionals } = parse(args);
  const files = [...(values.filename ?? []), ...positionals];
  if (files.length === 0)
    throw new UsageError('plan what? Give a file, a folder or - for the standard input: plan -f FILE');
  const { output = 'text', namespace, state } = values;
  if (output !== 'text' && output !== 'json')
    throw new UsageError(`--output is text or json, not ${JSON.stringify(output)}`);
  if (files.filter((file) => file === '-').length > 1)
    throw new UsageError('the standard input can be read once: give - once');
  return {
    command: 'plan',
    files,
    prune: values.prune === true,
    output,
    offline: values.offline === true || state !== undefined,
    ...(namespace === undefined ? {} : { namespace }),
    ...(state === undefined ? {} : { state }),
  };
}

function parse(args: readonly string[]) {
  return parsed(args, {
    filename: { type: 'string', short: 'f', multiple: true },
    namespace: { type: 'string', short: 'n' },
    prune: { type: 'boolean' },
    output: { type: 'string', short: 'o' },
    offline: { type: 'boolean' },
    state: { type: 'string' },
  });
}
