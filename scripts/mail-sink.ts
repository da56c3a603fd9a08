/**
 * A local mail server that keeps what it is given, so that `npm start` and the tests can show the mails.
 * Nothing leaves this machine.
 */
import { once } from 'node:events';
import type { AddressInfo } from 'node:net';
import { simpleParser } from 'mailparser';
import { SMTPServer } from 'smtp-server';

export interface Mail {
  readonly messageId: string;
  readonly to: readonly string[];
  readonly subject: string;
  readonly text: string;
}

export interface MailSink extends AsyncDisposable {
  /** `smtp://127.0.0.1:port` */
  readonly url: string;
  /** In the order they came in. */
  readonly mails: readonly Mail[];
  /** Answers 451 ("try again later") to mails for addresses of this domain; undefined takes every mail. */
  refusedDomain: string | undefined;
}

export interface MailSinkOptions {
  /** A free one unless given. */
  port?: number;
  refusedDomain?: string;
  /** The mail is accepted when this is done. */
  onMail?: (mail: Mail) => Promise<void> | void;
}

export async function startMailSink(options: MailSinkOptions = {}): Promise<MailSink> {
  const mails: Mail[] = [];
  const server = new SMTPServer({
    authOptional: true,
    disabledCommands: ['STARTTLS'],
    onRcptTo({ address }, _session, callback) {
      const refused = sink.refusedDomain !== undefined && address.endsWith(`@${sink.refusedDomain}`);
      callback(
        refused ? Object.assign(new Error('this mailbox is out of order'), { responseCode: 451 }) : null,
      );
    },
    onData(stream, session, callback) {
      const take = async () => {
        const parsed = await simpleParser(stream);
        const mail: Mail = {
          messageId: parsed.messageId ?? '',
          to: session.envelope.rcptTo.map((recipient) => recipient.address),
          subject: parsed.subject ?? '',
          text: parsed.text ?? '',
        };
        mails.push(mail);
        await options.onMail?.(mail);
      };
      take().then(
        () => callback(),
        (error: unknown) => callback(error instanceof Error ? error : new Error(String(error))),
      );
    },
  });
  // A client that is killed in the middle of a mail is no trouble of this server.
  server.on('error', () => undefined);
  server.listen(options.port ?? 0, '127.0.0.1');
  await once(server.server, 'listening');
  const { port } = server.server.address() as AddressInfo;
  const sink: MailSink = {
    url: `smtp://127.0.0.1:${port}`,
    mails,
    refusedDomain: options.refusedDomain,
    [Symbol.asyncDispose]: () => new Promise<void>((resolve) => server.close(() => resolve())),
  };
  return sink;
}
