/** For tests: what a cluster's DNS and Service do for a process outside of it. A proxy for HTTP that knows one Service. */
import { createServer } from 'node:http';
import { listening } from '../listening.ts';

export interface ServiceProxy extends AsyncDisposable {
  /** `http://127.0.0.1:port`, for `HTTP_PROXY`. */
  readonly url: string;
  /** Paths that were asked for there, with the status of the answer: `200 /scaling/shop/loyalty`. */
  readonly asked: readonly string[];
}

/** @param host `warren.warren-system.svc`, port 80; it leads to `port` of this machine. Others are 502. */
export async function serviceProxy(host: string, port: number): Promise<ServiceProxy> {
  const asked: string[] = [];
  const server = createServer((request, response) => {
    const wanted = new URL(request.url ?? '', 'http://nobody');
    if (wanted.host !== host) {
      response.writeHead(502).end(`no Service ${wanted.host}`);
      return;
    }
    fetch(`http://127.0.0.1:${port}${wanted.pathname}`).then(
      async (answer) => {
        asked.push(`${answer.status} ${wanted.pathname}`);
        response.writeHead(answer.status, { 'content-type': 'application/json' }).end(await answer.text());
      },
      (error: unknown) => response.writeHead(502).end(String(error)),
    );
  });
  const listens = await listening(server, 0, 'none');
  return {
    url: `http://127.0.0.1:${listens.port}`,
    asked,
    [Symbol.asyncDispose]: () => listens.close(),
  };
}
