import { runService } from '@warren/service';
import { eventLogService } from './index.ts';

await runService(eventLogService);
