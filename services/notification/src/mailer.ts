/**
 * Mails over SMTP. The Message-ID follows from the idempotency key: when a crash lets a mail go out twice, mail servers
 * and readers see one and the same message.
 *
 * Whoever gives up while a slow server still takes the mail sends a copy at the next attempt. So a server has the ten
 * minutes that RFC 5321 (4.5.3.2.6) gives it, and the handler's time limit is longer. Where it is set shorter, there is
 * still one mail: what is delivered again waits for the claim of the first, which costs attempts.
 */
import { createHash } from 'node:crypto';
import { Places } from '@warren/service';
import { createTransport } from 'nodemailer';
import type { Address, Mail } from './mails.ts';

/** Sends mails. */
export interface Mailer {
  /**
   * Not when the signal is aborted before it is the mail's turn; a mail that is being sent is sent.
   * @throws an error with `permanent: true` when the mail server refuses the mail for good (5xx).
   */
  send(to: Address, mail: Mail, idempotencyKey: string, signal: AbortSignal): Promise<void>;
  close(): void;
}

const connections = 4;

/** In milliseconds, by the names that nodemailer has for them. */
export const timeLimits = {
  connectionTimeout: 5000,
  greetingTimeout: 5000,
  socketTimeout: 600_000,
  /** Of a connection without a mail: a network on the way may forget it. */
  idleTimeout: 15_000,
} as const;

/** A mailer with a few connections that are kept open. */
export function createMailer(smtpUrl: string, from: string): Mailer {
  const transport = createTransport({
    url: smtpUrl,
    pool: true,
    maxConnections: connections,
    ...timeLimits,
  });
  // The transport's own queue would cut off, at a signal, a mail that is being sent, which may have arrived.
  const places = new Places(connections);
  return {
    send: (to, mail, idempotencyKey, signal) =>
      places.take(async () => {
        try {
          await transport.sendMail({
            from,
            to: { name: to.name, address: to.email },
            subject: mail.subject,
            text: mail.text,
            messageId: messageIdOf(idempotencyKey),
          });
        } catch (error) {
          throw new MailError(error);
        }
      }, signal),
    close: () => {
      transport.close();
    },
  };
}

/** The Message-ID of the mail with this key. */
export function messageIdOf(idempotencyKey: string): string {
  return `<${createHash('sha256').update(idempotencyKey).digest('hex').slice(0, 32)}@notification.warren>`;
}

/** The mail did not go out. Code WARREN_MAIL. */
export class MailError extends Error {
  readonly code = 'WARREN_MAIL';
  override readonly name = 'MailError';
  readonly permanent: boolean;

  constructor(cause: unknown) {
    const response =
      cause instanceof Error && 'responseCode' in cause && typeof cause.responseCode === 'number'
        ? cause.responseCode
        : undefined;
    const kind =
      cause instanceof Error && 'code' in cause && typeof cause.code === 'string' ? ` (${cause.code})` : '';
    super(
      response === undefined
        ? `The mail server cannot be reached${kind}.`
        : `The mail server answered ${response}${kind}.`,
    );
    // 421 and other 4xx pass; a refused login is the settings' fault and not the mail's.
    this.permanent = response !== undefined && response >= 500 && kind !== ' (EAUTH)';
  }
}
