/** A plan for a person: what comes is green, what goes is red, what changes is yellow. */
import { safeText } from './safe-text.ts';
import type { FieldChange } from './fields.ts';
import { changesAnything } from './plan.ts';
import type { BrokerPlan, Plan } from './plan.ts';
import type { ObjectChange } from './objects.ts';
import type { MigrationPlan, SubscriptionPlan } from './subscription.ts';

export interface TextOptions {
  colour: boolean;
  /** In words: where the present state was read. */
  where: string;
}

type Sign = 'create' | 'change' | 'delete' | 'none' | 'note' | 'conflict';

const SIGNS: Record<Sign, { sign: string; code: number }> = {
  create: { sign: '+', code: 32 },
  change: { sign: '~', code: 33 },
  delete: { sign: '-', code: 31 },
  none: { sign: ' ', code: 39 },
  note: { sign: '·', code: 36 },
  conflict: { sign: '!', code: 31 },
};

const WILL: Record<SubscriptionPlan['action'], string> = {
  create: 'will be created',
  change: 'will be changed',
  delete: 'will be deleted',
  none: 'is as it should be',
};

/** A value that is longer is cut: a plan is read by people. */
const LONGEST = 160;

export function textOf(plan: Plan, { colour, where }: TextOptions): string {
  const paint = (sign: Sign, text: string, indent = '    ') => {
    const { sign: mark, code } = SIGNS[sign];
    const line = `${indent}${mark} ${safeText(text)}`;
    return colour ? `\u001b[${code}m${line}\u001b[39m` : line;
  };
  const heading = (sign: Sign, text: string) => paint(sign, text, '');
  const lines = [
    safeText(where),
    ...plan.virtualHosts.map(({ broker, version, vhost, source }) =>
      safeText(`EventBroker ${broker}: RabbitMQ ${version}, virtual host ${vhost} (${source})`),
    ),
    '',
  ];
  for (const broker of plan.brokers) lines.push(...fieldLines('EventBroker', broker, heading, paint));
  for (const subscription of plan.subscriptions)
    lines.push(...subscriptionLines(subscription, heading, paint));
  for (const { namespace, name, ...rest } of plan.publishers)
    lines.push(...fieldLines('EventPublisher', { ...rest, name: `${namespace}/${name}` }, heading, paint));
  for (const { broker, policies } of plan.virtualHosts) {
    if (policies.length === 0) continue;
    lines.push(`Shared policies of EventBroker ${safeText(broker)}`);
    lines.push(...policies.map((policy) => paint('change', policy)), '');
  }
  const { create, change, delete: gone, unchanged, conflicts } = plan.summary;
  const counts = `${create} to create, ${change} to change, ${gone} to delete, ${unchanged} unchanged`;
  if (conflicts > 0) lines.push(`Plan: ${counts}; ${conflicts} would not become Ready.`);
  else lines.push(changesAnything(plan) ? `Plan: ${counts}.` : `No changes: ${unchanged} unchanged.`);
  return `${lines.join('\n')}\n`;
}

type Paint = (sign: Sign, text: string) => string;

function fieldLines(
  kind: string,
  { name, action, fields }: BrokerPlan,
  heading: Paint,
  paint: Paint,
): string[] {
  if (action === 'none') return [];
  return [heading(action, `${kind} ${name} ${WILL[action]}`), ...fields.map(fieldLine(paint)), ''];
}

function subscriptionLines(plan: SubscriptionPlan, heading: Paint, paint: Paint): string[] {
  const { namespace, name, action, fields, objects, migrations, conflicts, notes } = plan;
  if (action === 'none' && conflicts.length + notes.length === 0) return [];
  return [
    heading(action, `EventSubscription ${namespace}/${name} ${WILL[action]}`),
    // Of a new one the file tells the rest.
    ...(action === 'create' ? [] : fields.map(fieldLine(paint))),
    ...objects.map((object) => paint(object.action, objectText(object))),
    ...migrations.map((migration) => paint('change', migrationText(migration))),
    ...conflicts.map((sentence) => paint('conflict', sentence)),
    ...notes.map((sentence) => paint('note', sentence)),
    '',
  ];
}

function fieldLine(paint: Paint): (change: FieldChange) => string {
  return ({ path, from, to }) => {
    if (from === undefined) return paint('create', `${path}: ${shown(to)}`);
    if (to === undefined) return paint('delete', `${path}: ${shown(from)}`);
    return paint('change', `${path}: ${shown(from)} → ${shown(to)}`);
  };
}

function objectText({ kind, name, detail }: ObjectChange): string {
  if (kind === 'binding') return `binding of ${name} to ${detail ?? ''}`;
  const what = kind === 'settings' ? `settings of queue ${name}` : `${kind} ${name}`;
  return detail === undefined ? what : `${what}: ${detail}`;
}

function migrationText({ queue, changes, messages }: MigrationPlan): string {
  const what = changes.map(({ property, from, to }) => `${property} ${from} → ${to}`).join(', ');
  const moved =
    messages === undefined
      ? 'its messages are moved'
      : messages === 0
        ? 'it is empty'
        : `${messages} ${messages === 1 ? 'message is' : 'messages are'} moved`;
  return `queue ${queue} is made anew under its name: ${what}; ${moved}`;
}

function shown(value: unknown): string {
  const text = JSON.stringify(value);
  return text.length > LONGEST ? `${text.slice(0, LONGEST)}…` : text;
}
