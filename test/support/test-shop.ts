/**
 * A whole shop for one test file: the operator and the six services as processes, on a virtual host and databases of its
 * own, with a copy of the samples that the file may edit.
 */
import { cp, mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { eventually, testBroker } from '@warren/environment/testing';
import { createManagementClient, type ManagementClient } from '@warren/rabbitmq';
import { startMailSink, type MailSink } from '../../scripts/mail-sink.ts';
import type { LogRecord } from '../../scripts/managed-process.ts';
import { brokerSecretsIn } from '../../scripts/samples.ts';
import { get, post, type Order, type User } from '../../scripts/shop-client.ts';
import { Shop, writeBrokerSecret, type ServiceName } from '../../scripts/shop.ts';
import { testDatabases } from './databases.ts';

export const samples = join(import.meta.dirname, '..', '..', 'k8s', 'samples');
export const refusedDomain = 'refused.example';

export interface TestBrokerUrls {
  readonly amqpUrl: string;
  readonly managementUrl: string;
  readonly vhost: string;
}

export interface TestShopOptions {
  /** The shared one, with a virtual host of its own, unless given. */
  broker?: TestBrokerUrls;
  /** Further environment variables of the services. */
  env?: Readonly<Record<string, string>>;
  /** Changes a sample before the start: file name without `.yaml`, and what becomes of its text. */
  edit?: Readonly<Record<string, (yaml: string) => string>>;
}

export class TestShop implements AsyncDisposable {
  readonly shop: Shop;
  readonly mailSink: MailSink;
  readonly broker: TestBrokerUrls;
  readonly management: ManagementClient;
  /** The EventSubscriptions that the operator follows. */
  readonly folder: string;
  readonly stateDir: string;
  /** What all processes logged, but requests. */
  readonly records: readonly (LogRecord & { readonly process: string })[];
  readonly #stack: AsyncDisposableStack;

  private constructor(
    parts: Pick<TestShop, 'shop' | 'mailSink' | 'broker' | 'management' | 'folder' | 'stateDir' | 'records'>,
    stack: AsyncDisposableStack,
  ) {
    this.shop = parts.shop;
    this.mailSink = parts.mailSink;
    this.broker = parts.broker;
    this.management = parts.management;
    this.folder = parts.folder;
    this.stateDir = parts.stateDir;
    this.records = parts.records;
    this.#stack = stack;
  }

  static async start(options: TestShopOptions = {}): Promise<TestShop> {
    await using stack = new AsyncDisposableStack();
    const broker = options.broker ?? stack.use(await testBroker());
    const databases = stack.use(await testDatabases());
    const stateDir = await mkdtemp(join(tmpdir(), 'warren-shop-'));
    stack.defer(() => rm(stateDir, { recursive: true, force: true }));
    const folder = join(stateDir, 'samples');
    await cp(samples, folder, { recursive: true });
    for (const [name, edit] of Object.entries(options.edit ?? {}))
      await editFile(join(folder, `${name}.yaml`), edit);
    const { amqpUrl, managementUrl, vhost } = broker;
    for (const secret of await brokerSecretsIn(folder)) {
      await writeBrokerSecret(stateDir, { ...secret, amqpUrl, managementUrl });
    }
    const mailSink = stack.use(await startMailSink({ refusedDomain }));
    const management = stack.use(createManagementClient({ url: managementUrl, vhost }));
    const records: (LogRecord & { process: string })[] = [];
    const shop = stack.use(
      new Shop({
        stateDir,
        mongodbUrl: databases.url,
        databasePrefix: databases.prefix,
        smtpUrl: mailSink.url,
        source: { folder },
        env: { BINDING_POLL_MS: '100', ...options.env },
        onLog: (process, record) => {
          if (record['msg'] !== 'request') records.push({ process, ...record });
        },
      }),
    );
    await shop.start();
    return new TestShop({ shop, mailSink, broker, management, folder, stateDir, records }, stack.move());
  }

  url(name: ServiceName): string {
    return this.shop.url(name);
  }

  /** Writes, or rewrites, a file of the folder. */
  async write(file: string, yaml: string): Promise<void> {
    await writeFile(join(this.folder, file), yaml);
  }

  async edit(file: string, change: (yaml: string) => string): Promise<void> {
    await editFile(join(this.folder, file), change);
  }

  /** The status of a subscription as the operator in folder mode keeps it; '' where there is none. */
  async status(name: string): Promise<string> {
    return readFile(join(this.stateDir, 'status', name), 'utf8').catch(() => '');
  }

  async createUser(name = 'Ada', domain = 'example.com'): Promise<User> {
    const email = `${name.toLowerCase()}-${unique()}@${domain}`;
    return (await post<User>(`${this.url('user')}/users`, { email, name })).body;
  }

  /** Places an order of `total` in one line. */
  async placeOrder(userId: string, total: number): Promise<Order> {
    const lines = [{ sku: 'tea', quantity: 1, unitPrice: total }];
    return (await post<Order>(`${this.url('order')}/orders`, { userId, lines })).body;
  }

  async order(id: string): Promise<Order> {
    return get<Order>(`${this.url('order')}/orders/${id}`);
  }

  async points(userId: string): Promise<number> {
    return (await get<{ points: number }>(`${this.url('loyalty')}/loyalty/${userId}`)).points;
  }

  /** Waits until an order is no longer `placed`. */
  async decided(id: string, timeoutMs = 30_000): Promise<Order> {
    return eventually(
      async () => {
        const order = await this.order(id);
        if (order.status === 'placed') throw new Error(`order ${id} is still placed`);
        return order;
      },
      { timeoutMs, intervalMs: 30 },
    );
  }

  /** Mails to a user, once each Message-ID. */
  mailsTo(email: string): readonly { subject: string; messageId: string }[] {
    return this.mailSink.mails.filter(({ to }) => to.includes(email));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#stack.disposeAsync();
  }
}

async function editFile(path: string, change: (yaml: string) => string): Promise<void> {
  const before = await readFile(path, 'utf8');
  const after = change(before);
  if (after === before) throw new Error(`the edit of ${path} changes nothing`);
  await writeFile(path, after);
}

let count = 0;
function unique(): string {
  count += 1;
  return `${process.pid.toString(36)}${Date.now().toString(36)}${count}`;
}
