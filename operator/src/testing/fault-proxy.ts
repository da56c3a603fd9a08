/**
 * For tests: what may stand between the operator and a management API. Passes every request on, notes that it arrived, and
 * fails those that it is told to. What it makes of an answer is made of the broker's own.
 */
import { once } from 'node:events';
import { Agent, createServer, request as send } from 'node:http';
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { buffer } from 'node:stream/consumers';
import { setTimeout as paused } from 'node:timers/promises';

export interface Arrived {
  method: string;
  /** With its query. */
  path: string;
  body: string;
  /** Milliseconds of performance.now(). */
  at: number;
  /** What the caller was answered; undefined while it waits, or when it gets nothing. */
  status?: number;
}

export type Fault =
  /** The broker's answer, so many milliseconds later. */
  | { fault: 'delay'; ms: number }
  /** An answer of the proxy's own. The broker hears nothing of it, unless `passedOn`: then it is the answer that is lost. */
  | {
      fault: 'answer';
      status: number;
      headers?: Record<string, string>;
      body?: string;
      passedOn?: boolean;
    }
  /** Half of the broker's answer, and the connection is cut. */
  | { fault: 'cut' }
  /** Half of the broker's answer, as if it were all of it. */
  | { fault: 'half' }
  /** The connection ends before there is an answer. */
  | { fault: 'refuse' }
  /** No answer, for as long as the caller holds out. */
  | { fault: 'hang' };

export interface FaultProxy extends AsyncDisposable {
  /** In the order of their arrival. */
  readonly arrived: readonly Arrived[];
  /** Asked for each request that arrives. */
  faultOf: (request: Arrived) => Fault | undefined;
  /** Forgets what arrived. */
  reset(): void;
}

export const html = (status: number): Fault => ({
  fault: 'answer',
  status,
  headers: { 'content-type': 'text/html' },
  body: '<html><body>one moment, please</body></html>',
});

/** About such a share of all requests, the same ones in each run. */
export function inShare(share: number, ...faults: readonly Fault[]): (request: Arrived) => Fault | undefined {
  let [seed, next] = [42, 0];
  return () => {
    seed = (seed * 1_103_515_245 + 12_345) % 2 ** 31;
    if (seed / 2 ** 31 >= share) return undefined;
    next += 1;
    return faults[next % faults.length];
  };
}

/** @param managementUrl of the broker; the `managementUrl` that comes back leads through the proxy */
export async function faultProxy(managementUrl: string): Promise<FaultProxy & { managementUrl: string }> {
  const target = new URL(managementUrl);
  const agent = new Agent({ keepAlive: true });
  const arrived: Arrived[] = [];
  const ending = new AbortController();
  const proxy = { faultOf: (): Fault | undefined => undefined } as Pick<FaultProxy, 'faultOf'>;

  const ask = async (incoming: IncomingMessage, body: Buffer): Promise<[IncomingMessage, Buffer]> => {
    const outgoing = send({
      ...{ agent, host: target.hostname, port: target.port },
      ...{ method: incoming.method, path: incoming.url },
      headers: { ...incoming.headers, host: target.host },
    });
    const answering = once(outgoing, 'response') as Promise<[IncomingMessage]>;
    outgoing.end(body);
    const [answer] = await answering;
    return [answer, await buffer(answer)];
  };

  const serve = async (incoming: IncomingMessage, response: ServerResponse): Promise<void> => {
    const body = await buffer(incoming);
    const { method = '', url: path = '' } = incoming;
    const request: Arrived = { method, path, body: body.toString(), at: performance.now() };
    arrived.push(request);
    const fault = proxy.faultOf(request);
    if (fault?.fault === 'hang') return;
    if (fault?.fault === 'refuse') {
      incoming.socket.resetAndDestroy();
      return;
    }
    if (fault?.fault === 'answer') {
      if (fault.passedOn === true) await ask(incoming, body);
      request.status = fault.status;
      response.writeHead(fault.status, fault.headers ?? {}).end(fault.body);
      return;
    }
    if (fault?.fault === 'delay') await paused(fault.ms, undefined, { signal: ending.signal });
    const [answer, content] = await ask(incoming, body);
    const half = content.subarray(0, Math.floor(content.length / 2));
    const { 'transfer-encoding': _, ...headers } = answer.headers;
    const status = answer.statusCode ?? 500;
    if (fault?.fault === 'cut') {
      response.writeHead(status, { ...headers, 'content-length': String(content.length) });
      response.write(half, () => response.socket?.resetAndDestroy());
      return;
    }
    request.status = status;
    const given = fault?.fault === 'half' ? half : content;
    response.writeHead(
      status,
      content.length === 0 ? headers : { ...headers, 'content-length': given.length },
    );
    response.end(given);
  };

  const server = createServer((incoming, response) => {
    // The caller may hang up, and so may the broker at the end of a test.
    serve(incoming, response).catch(() => response.destroy());
  });
  server.listen(0, '127.0.0.1');
  await once(server, 'listening');
  const through = new URL(managementUrl);
  through.host = `127.0.0.1:${(server.address() as AddressInfo).port}`;
  return Object.assign(proxy, {
    arrived,
    managementUrl: through.href,
    reset: () => {
      arrived.length = 0;
    },
    [Symbol.asyncDispose]: async () => {
      ending.abort();
      const closed = once(server, 'close');
      server.close();
      server.closeAllConnections();
      agent.destroy();
      await closed;
    },
  });
}
