/** How the operator's servers begin and end. */
import type { AddressInfo, Server } from 'node:net';
import { PortTakenError } from './errors.ts';

export interface Listening {
  readonly port: number;
  /** Ends open connections too. */
  close(): Promise<void>;
}

/**
 * @param port 0 takes any free one
 * @param variable what the port is set by: the error names it. Rejects with PortTakenError.
 */
export async function listening(
  server: Server & { closeAllConnections(): void },
  port: number,
  variable: string,
): Promise<Listening> {
  await new Promise<void>((listens, failed) => {
    server.once('error', (error: NodeJS.ErrnoException) =>
      failed(error.code === 'EADDRINUSE' ? new PortTakenError(port, variable) : error),
    );
    server.listen(port, () => {
      server.removeAllListeners('error');
      listens();
    });
  });
  return {
    port: (server.address() as AddressInfo).port,
    close: async () => {
      server.closeAllConnections();
      await new Promise<void>((closed) => server.close(() => closed()));
    },
  };
}
