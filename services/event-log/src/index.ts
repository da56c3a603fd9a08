/** The event log: subscribes to everything and keeps it for ever. Reports nobody planned come from here. */
import { shopCatalogue } from '@warren/contracts';
import { defineService, onAny } from '@warren/service';
import { eventLogRoutes } from './http.ts';
import { createEventLog } from './log.ts';

export const eventLogService = defineService({
  name: 'event-log',
  catalogue: shopCatalogue,
  parts: (app) => {
    const log = createEventLog(app.database);
    return {
      prepare: () => log.init(),
      routes: eventLogRoutes(log),
      consumers: {
        'event-log': [
          onAny(async (event) => {
            await log.append(event);
          }),
        ],
      },
    };
  },
});
