/**
 * `npm start`: the shop on real parts, and the story of one order. See USAGE.
 *
 * What is started ends with this process: gracefully on Ctrl-C, in the order of its dependencies, and by the kernel's
 * parent-death signal when it is killed.
 */
import { parseArgs } from 'node:util';
import { join, relative, resolve } from 'node:path';
import { rm, symlink } from 'node:fs/promises';
import { applyShop, kubectlFor } from './cluster.ts';
import { mountBindings } from './binding-mount.ts';
import { outcomeOf, placeFirstOrder, type OrderOutcome, type PlacedOrder } from './first-order.ts';
import { startMailSink, type MailSink } from './mail-sink.ts';
import { ProcessEndedError, readable, type ManagedProcess } from './managed-process.ts';
import { Narrator } from './narrator.ts';
import { bringUp, chooseShopPorts, type RealParts } from './real-parts.ts';
import { brokerSecretsIn } from './samples.ts';
import { serviceNames, Shop, writeBrokerSecret } from './shop.ts';
import { createSupervisor } from './supervisor.ts';
import { createTerminal, type Terminal } from './terminal.ts';
import { addressLines, tryLines, type Whereabouts } from './things-to-try.ts';

const USAGE = `npm start [-- options]: the shop on a real RabbitMQ and a real database, and the story of one order

  --kubernetes   the resources are in a real Kubernetes API server, not in the folder
  --once         tells the story and ends
  --help

  RABBITMQ_URL, RABBITMQ_MANAGEMENT_URL, MONGODB_URL, KUBECONFIG   used as they are, where set
  OTEL_EXPORTER_OTLP_ENDPOINT                                      where traces go
  WARREN_HOST                                                      where the services listen (127.0.0.1)
  WARREN_SAMPLES                                                   the folder of the resources (k8s/samples)
  WARREN_DATABASE_PREFIX                                           before the names of the services' databases
  WARREN_STATE_DIR                                                 where all that is thrown away lies (.local)
`;

const root = join(import.meta.dirname, '..');
const samples = resolve(process.env['WARREN_SAMPLES'] ?? join(root, 'k8s', 'samples'));
const refusedDomain = 'refused.example';
/** Ctrl-C, an orderly end from elsewhere, a terminal that is closed. */
const signals = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;
const STORY_LIMIT_MS = 60_000;

interface Options {
  readonly kubernetes: boolean;
  readonly once: boolean;
}

/** A short name for a file whose place differs from run to run. */
async function linked(name: string, file: string): Promise<AsyncDisposable> {
  const remove = () => rm(name, { force: true });
  await remove();
  await symlink(file, name);
  return { [Symbol.asyncDispose]: remove };
}

/** Everything that runs, and ends with the stack that it is on. */
interface Running {
  readonly shop: Shop;
  readonly parts: RealParts;
  readonly narrator: Narrator;
  readonly mailSink: MailSink;
  readonly kubeconfig: string | undefined;
}

async function main(options: Options): Promise<void> {
  using terminal = createTerminal();
  const { line, paint } = terminal;
  const stop = new AbortController();
  const onSignal = () => {
    // The second one does not wait: what is left is killed with this process.
    if (stop.signal.aborted) process.exit(130);
    stop.abort(new Stopped());
  };
  for (const signal of signals) process.on(signal, onSignal);
  let farewell = false;
  try {
    await using stack = new AsyncDisposableStack();
    stack.defer(() => {
      if (farewell) line(paint.dim('  all ended'));
    });
    const running = await start(options, terminal, stop, stack);
    stack.defer(() => {
      running.narrator[Symbol.dispose]();
      line();
      line(
        paint.dim('  ending: the services finish what they have in hand, then the operator, then the rest …'),
      );
      farewell = true;
    });
    const { placed, outcome } = await tellFirstOrder(running, terminal, stop.signal);
    tellOutcome(outcome, running.mailSink, terminal);
    await tellResources(running, terminal);
    if (options.once) return;
    tellWhereabouts(running, placed, terminal);
    running.narrator.follow();
    await aborted(stop.signal);
  } catch (error) {
    // Whatever failed because of the end that was asked for is no failure.
    const why: unknown = stop.signal.aborted ? stop.signal.reason : error;
    if (why instanceof Stopped) return;
    line();
    line(`  ${paint.red('✗')} ${why instanceof Error ? why.message : String(why)}`);
    process.exitCode = 1;
  } finally {
    for (const signal of signals) process.off(signal, onSignal);
  }
}

/** Somebody asked for the end. */
class Stopped extends Error {
  override readonly name = 'Stopped';
}

async function start(
  options: Options,
  terminal: Terminal,
  stop: AbortController,
  stack: AsyncDisposableStack,
): Promise<Running> {
  const { line, paint } = terminal;
  line();
  line(
    `  ${paint.bold('Warren')}  ${paint.dim('one resource, and an event consumer has all it needs on RabbitMQ')}`,
  );
  line();
  const parts = stack.use(await bringUp({ kubernetes: options.kubernetes, terminal, signal: stop.signal }));
  stop.signal.throwIfAborted();

  const narrator = stack.use(new Narrator(terminal));
  const mailSink = stack.use(await startMailSink({ refusedDomain, onMail: (mail) => narrator.mail(mail) }));
  const ports = await chooseShopPorts(terminal);
  const brokerSecrets = (await brokerSecretsIn(samples)).map((secret) => ({
    ...secret,
    amqpUrl: parts.amqpUrl,
    managementUrl: parts.managementUrl,
  }));
  const bindings = join(parts.stateDir, 'bindings');
  // They hold passwords, and those of a killed run may name a broker that is gone.
  const removeBindings = () => rm(bindings, { recursive: true, force: true });
  await removeBindings();
  stack.defer(removeBindings);
  let kubeconfig: string | undefined;
  if (options.kubernetes) {
    if (parts.kubeconfig === undefined) throw new Error('there is no Kubernetes API server to use');
    kubeconfig = join(parts.stateDir, 'kubeconfig');
    stack.use(await linked(kubeconfig, parts.kubeconfig));
    const step = terminal.step('resources');
    step.note('kubectl apply');
    const crds = join(root, 'charts', 'warren', 'crds');
    await applyShop(kubectlFor(kubeconfig), { crds, samples, secrets: brokerSecrets });
    step.done(`CRDs, ${relative(root, samples)} and the broker's Secret applied`);
    stack.use(await mountBindings({ kubeconfig, namespace: 'shop', root: join(bindings, 'shop') }));
  } else {
    for (const secret of brokerSecrets) stack.use(await writeBrokerSecret(parts.stateDir, secret));
  }

  const supervisor = createSupervisor<ManagedProcess>({
    onRestart: (process, count) => {
      tellEnd(process, terminal);
      line(`  ${paint.yellow('↻')} starting ${process.name} again (${count} of 3 within a minute)`);
    },
    onGivenUp: (process) => stop.abort(new ProcessEndedError(process)),
  });
  const shop = new Shop({
    stateDir: parts.stateDir,
    mongodbUrl: parts.mongodbUrl,
    databasePrefix: process.env['WARREN_DATABASE_PREFIX'] ?? '',
    smtpUrl: mailSink.url,
    source: kubeconfig === undefined ? { folder: samples } : { kubeconfig },
    bindingRoot: join(bindings, 'shop'),
    ports,
    ...(process.env['WARREN_HOST'] === undefined ? {} : { env: { HOST: process.env['WARREN_HOST'] } }),
    onLog: (process, record) => narrator.hear(process, record),
    onUnexpectedEnd: supervisor.ended,
  });
  stack.use(shop);
  stack.defer(() => supervisor.stop());
  await startShop(shop, terminal, stop.signal);
  // Not before: what ends during the start has a reason that another start would not cure.
  supervisor.start();
  parts.announce(Object.fromEntries(serviceNames.map((name) => [name, shop.url(name)])));
  return { shop, parts, narrator, mailSink, kubeconfig };
}

async function startShop(shop: Shop, terminal: Terminal, signal: AbortSignal): Promise<void> {
  const began = performance.now();
  const step = terminal.step('shop');
  const waiting = new Set<string>(serviceNames);
  const tell = () => step.note(`waiting for ${[...waiting].join(', ')}`);
  tell();
  try {
    await shop.start({
      signal,
      onReady: (name) => {
        waiting.delete(name);
        if (waiting.size > 0) tell();
      },
    });
  } catch (error) {
    step.failed('did not start');
    throw error;
  }
  const seconds = ((performance.now() - began) / 1000).toFixed(1);
  step.done(`the operator and ${serviceNames.length} services are ready after ${seconds} s`);
}

/** Places the order and tells its story when the services say that it is over. */
async function tellFirstOrder(
  { shop, narrator }: Running,
  { line, paint }: Terminal,
  signal: AbortSignal,
): Promise<{ placed: PlacedOrder; outcome: OrderOutcome }> {
  line();
  line(`  ${paint.bold('The story of one order')}, told from the logs of the services`);
  const placed = await placeFirstOrder(shop);
  const outcome = await outcomeOf(shop, placed, { timeoutMs: STORY_LIMIT_MS, signal });
  await narrator.settled(Object.values(placed.conversations), signal);
  line();
  line(`  ${paint.bold('POST /users')}   ${placed.user.name} <${placed.user.email}>`);
  narrator.tell(placed.conversations.user);
  line();
  line(
    `  ${paint.bold('POST /orders')}  ${placed.order.total.toFixed(2)} ${placed.order.currency}, order ${placed.order.id}`,
  );
  narrator.tell(placed.conversations.order);
  return { placed, outcome };
}

function tellOutcome(
  { order, points, notifications }: OrderOutcome,
  sink: MailSink,
  { line, paint }: Terminal,
): void {
  const row = (name: string, text: string) => line(`  ${paint.bold(name.padEnd(14))}${text}`);
  const colour = order.status === 'completed' ? paint.green : paint.yellow;
  line();
  row('order', `${colour(order.status)}, ${order.total.toFixed(2)} ${order.currency}`);
  row('loyalty', `${points} points`);
  row('mails', `to ${[...new Set(notifications.map(({ to }) => to))].join(', ')}`);
  for (const { subject } of notifications) row('', subject);
  const mail = sink.mails.findLast((one) => notifications.some(({ subject }) => subject === one.subject));
  for (const text of mail?.text.trimEnd().split('\n') ?? [])
    line(paint.dim(`                │ ${text}`.trimEnd()));
}

/** What kubectl says about the subscriptions, where there is a cluster. */
async function tellResources({ kubeconfig }: Running, { line, paint }: Terminal): Promise<void> {
  if (kubeconfig === undefined) return;
  line();
  line(`  ${paint.bold('kubectl get esub -A')}`);
  for (const text of (await kubectlFor(kubeconfig)(['get', 'esub', '-A'])).trimEnd().split('\n'))
    line(`  ${text}`);
}

function tellWhereabouts(
  { shop, parts, kubeconfig }: Running,
  { user }: PlacedOrder,
  terminal: Terminal,
): void {
  const { line, paint } = terminal;
  const at: Whereabouts = {
    urls: Object.fromEntries(serviceNames.map((name) => [name, shop.url(name)])) as Whereabouts['urls'],
    operatorUrl: shop.url('operator'),
    managementUrl: parts.managementUrl,
    vhost: parts.vhost,
    stateDir: relative(process.cwd(), parts.stateDir),
    samples: relative(process.cwd(), samples),
    kubeconfig: kubeconfig === undefined ? undefined : relative(process.cwd(), kubeconfig),
    userId: user.id,
    refusedDomain,
    tracesUrl: process.env['OTEL_EXPORTER_OTLP_ENDPOINT'],
  };
  line();
  line(`  ${paint.bold('It stays up.')} Ctrl-C ends all of it.`);
  line();
  for (const text of addressLines(at, paint)) line(text);
  line();
  for (const text of tryLines(at, paint)) line(text);
  line();
}

function tellEnd({ name, ended, lastLines, logFile }: ManagedProcess, { line, paint }: Terminal): void {
  line();
  line(
    `  ${paint.red('✗')} ${paint.bold(name)} ended with ${ended ?? '?'}; its last lines (all in ${relative(process.cwd(), logFile)}):`,
  );
  for (const text of lastLines) line(paint.dim(`      ${readable(text)}`));
}

/** Resolves when somebody asked for the end; rejects when a process cannot be kept up. */
function aborted(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    const end = () => reject(signal.reason as Error);
    if (signal.aborted) end();
    else signal.addEventListener('abort', end, { once: true });
  });
}

function parseOptions(): (Options & { help: boolean }) | undefined {
  try {
    const no = { type: 'boolean', default: false } as const;
    return parseArgs({ options: { kubernetes: no, once: no, help: no } }).values;
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`);
    process.exitCode = 2;
    return undefined;
  }
}

const options = parseOptions();
if (options?.help === true) process.stdout.write(USAGE);
else if (options !== undefined) await main(options);
