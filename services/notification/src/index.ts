/** The notification service: mails to customers about what happened to them. */
import { shopCatalogue } from '@warren/contracts';
import { baseSettings, defineService, route } from '@warren/service';
import { z } from 'zod';
import { createAddresses } from './addresses.ts';
import { notificationHandlers } from './consumers.ts';
import { createMailer, timeLimits } from './mailer.ts';
import { notifications } from './notifications.ts';

const notification = z.object({
  id: z.string(),
  userId: z.string(),
  to: z.string(),
  subject: z.string(),
  template: z.string(),
  orderId: z.string().optional(),
  sentAt: z.iso.datetime(),
});

export const notificationService = defineService({
  name: 'notification',
  catalogue: shopCatalogue,
  settings: z.object({
    SMTP_URL: z
      .string()
      .regex(/^smtps?:\/\//, 'must begin with smtp:// or smtps://')
      .describe('the mail server, smtp://host:port'),
    MAIL_FROM: z
      .string()
      .min(3)
      .default('The shop <shop@warren.example>')
      .describe('the sender of all mails'),
    HANDLER_TIMEOUT_MS: baseSettings.shape.HANDLER_TIMEOUT_MS.unwrap()
      .default(timeLimits.socketTimeout + 60_000)
      .describe('for one delivery of one message; longer than a mail server may take'),
  }),
  projections: [notifications],
  parts: (app) => {
    const mailer = createMailer(app.settings.SMTP_URL, app.settings.MAIL_FROM);
    const addresses = createAddresses(app.database);
    return {
      routes: [
        route({
          method: 'get',
          path: '/notifications',
          summary: 'The mails that a user was sent, oldest first.',
          query: z.object({ userId: z.string().min(1).max(200) }),
          responses: {
            200: { description: 'The mails', schema: z.object({ notifications: z.array(notification) }) },
          },
          handle: async ({ query: { userId } }) => {
            const found = await app.store.projection(notifications).find({ userId }, { sort: { sentAt: 1 } });
            return { status: 200, body: { notifications: found } };
          },
        }),
      ],
      consumers: { notification: notificationHandlers(addresses, mailer) },
      dispose: () => {
        mailer.close();
      },
    };
  },
});
