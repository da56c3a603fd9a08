/** The real parts that the shop needs, brought up by @warren/environment, with what it says about it in the terminal. */
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { choosePort, readEndpoints, startEnvironment, stateDir } from '@warren/environment';
import { preferredPorts } from './shop.ts';
import type { Step, Terminal } from './terminal.ts';

export interface RealParts extends AsyncDisposable {
  /** `amqp://user:password@host:port/vhost` */
  readonly amqpUrl: string;
  /** `http://user:password@host:port` */
  readonly managementUrl: string;
  readonly vhost: string;
  /** `mongodb://…/` without a database. */
  readonly mongodbUrl: string;
  readonly kubeconfig: string | undefined;
  readonly stateDir: string;
  /** Tells others, through `endpoints.json`, where the services are. */
  readonly announce: (services: Record<string, string>) => void;
}

/** Brings up what no URL names and nothing runs already. */
export async function bringUp(options: {
  kubernetes: boolean;
  terminal: Terminal;
  signal: AbortSignal;
}): Promise<RealParts> {
  const { kubernetes, terminal, signal } = options;
  const state = stateDir();
  const found = readEndpoints();
  if (found !== undefined && Object.keys(found.services).length > 0) {
    throw new Error(
      `another npm start runs already, as process ${(found.guest ?? found.owner)?.pid ?? '?'}: end it, or set WARREN_STATE_DIR to another folder`,
    );
  }
  const steps = new Map<string, Step>();
  try {
    const environment = await startEnvironment({
      kubernetes,
      signal,
      report: (part, message) => {
        if (message.includes(' is taken by ')) {
          tellMoved(terminal, part, message);
          return;
        }
        const step = steps.get(part) ?? terminal.step(part);
        steps.set(part, step);
        step.note(message);
      },
    });
    const { rabbitmq, mongodb, kubernetes: cluster } = environment.endpoints;
    // What an operator remembers of a broker that is gone would look like drift on the new one.
    const isNew = found === undefined && process.env['RABBITMQ_URL'] === undefined;
    if (isNew) await rm(join(state, 'status'), { recursive: true, force: true });
    const done = (part: string, text: string) => (steps.get(part) ?? terminal.step(part)).done(text);
    done('rabbitmq', hidden(rabbitmq.amqp));
    done('mongodb', hidden(mongodb));
    if (kubernetes && cluster !== null) done('kubernetes', cluster.kubeconfig);
    for (const step of steps.values()) step.gone();
    return {
      amqpUrl: rabbitmq.amqp,
      managementUrl: rabbitmq.management,
      vhost: vhostOf(rabbitmq.amqp),
      mongodbUrl: mongodb,
      kubeconfig: cluster?.kubeconfig,
      stateDir: state,
      announce: (services) => environment.publish(services),
      [Symbol.asyncDispose]: () => environment[Symbol.asyncDispose](),
    };
  } catch (error) {
    for (const step of steps.values()) step.failed('not brought up');
    throw error;
  }
}

/** The ports of the design where they are free; says where something moved, and why. */
export async function chooseShopPorts(
  terminal: Terminal,
): Promise<Record<keyof typeof preferredPorts, number>> {
  const entries: [string, number][] = [];
  for (const [name, wanted] of Object.entries(preferredPorts)) {
    const port = await choosePort(name, wanted, (part, message) => tellMoved(terminal, part, message));
    entries.push([name, port]);
  }
  return Object.fromEntries(entries) as Record<keyof typeof preferredPorts, number>;
}

/** A port that had to be moved is worth a line that stays. */
function tellMoved({ line, paint }: Terminal, part: string, message: string): void {
  line(`  ${paint.yellow('!')} ${part.padEnd(14)} ${message}`);
}

function vhostOf(amqpUrl: string): string {
  const path = new URL(amqpUrl).pathname.replace(/^\//, '');
  return path === '' ? '/' : decodeURIComponent(path);
}

function hidden(url: string): string {
  const shown = new URL(url);
  if (shown.password !== '') shown.password = '***';
  return shown.href;
}
